"""Ops on entries, rows and boxes that are named by number."""

from . import named, take, write

__all__ = ["named", "take", "write"]
