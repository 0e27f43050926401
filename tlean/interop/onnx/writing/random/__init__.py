"""Random numbers with the library's bits."""

from . import draws, rejections

__all__ = ["draws", "rejections"]
