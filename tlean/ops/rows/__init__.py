"""Ops on entries, rows and boxes that are named by number."""

from . import bags, named, take, write

__all__ = ["bags", "named", "take", "write"]
