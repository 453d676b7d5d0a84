"""Variational autoencoders (floor 3, above objectives and heads)."""

from hybrid.vae.autoencoder import VAE
from hybrid.vae.objective import EvidenceBound

__all__ = ["VAE", "EvidenceBound"]
