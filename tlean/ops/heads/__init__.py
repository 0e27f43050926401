"""Attention with a scale, a bias and grouped heads, and multi-head attention."""

from . import biased, forms, layers

__all__ = ["biased", "forms", "layers"]
