"""Losses by name, made of other ops."""

from . import classes, distances, margins, pairs, sequences

__all__ = ["classes", "distances", "margins", "pairs", "sequences"]
