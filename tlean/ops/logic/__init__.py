"""Comparisons, Booleans, and the choice between values."""

from . import elements, reduce

__all__ = ["elements", "reduce"]
