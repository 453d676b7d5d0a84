"""The engine in PyTorch: circuits as few large products, run backwards for gradients (floor 4).

`schedule` fuses operations into `steps`, `ingredients` makes their tensors, `sweep` runs them with
few states in memory, `adjoint` puts the four together.
"""
