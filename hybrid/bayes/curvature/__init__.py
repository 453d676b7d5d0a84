"""The curvature of a law's likelihood in its weights, and Laplace's approximation (floor 1)."""
