"""The engine: partition functions, marginals, best assignments and draws of a junction tree."""
