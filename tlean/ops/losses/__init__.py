"""Losses by name, made of other ops."""

from . import classes, distances, pairs

__all__ = ["classes", "distances", "pairs"]
