"""Curves through points: cubic splines. Straight lines are the op `interp`."""

from .curves import cubic_spline

__all__ = ["cubic_spline"]
