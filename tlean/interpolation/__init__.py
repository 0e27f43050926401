"""Curves through points: straight lines and cubic splines."""

from .curves import interp

__all__ = ["interp"]
