"""Images: resized, sampled and arranged."""

from .sampling import ImageOps

__all__ = ["ImageOps"]
