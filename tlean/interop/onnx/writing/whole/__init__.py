"""Whole numbers: their arithmetic, which is exact, and their bits."""

from . import bits, numbers

__all__ = ["bits", "numbers"]
