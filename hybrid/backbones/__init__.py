"""Backbones: deep networks as Layers (floor 0)."""

from hybrid.backbones.mlp import MLP

__all__ = ["MLP"]
