"""Random numbers with the library's bits."""

from . import draws

__all__ = ["draws"]
