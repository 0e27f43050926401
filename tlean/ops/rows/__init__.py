"""Ops on entries, rows and boxes that are named by number."""

from . import take, write

__all__ = ["take", "write"]
