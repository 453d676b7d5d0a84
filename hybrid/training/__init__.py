"""The training loop: data, steps, callbacks, runs (floor 6)."""
