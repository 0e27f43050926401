"""Images resized, sampled and arranged, made of other ops."""

from . import arrange, regularise, resize, sample

__all__ = ["arrange", "regularise", "resize", "sample"]
