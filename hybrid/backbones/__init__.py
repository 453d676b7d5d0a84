"""Backbones: deep networks as Layers (floor 0)."""

from hybrid.backbones.attention import Positions, SelfAttention, Transformer
from hybrid.backbones.convolution import ConvNet, ResNet
from hybrid.backbones.mlp import MLP
from hybrid.backbones.recurrent import RNN

__all__ = ["MLP", "RNN", "ConvNet", "Positions", "ResNet", "SelfAttention", "Transformer"]
