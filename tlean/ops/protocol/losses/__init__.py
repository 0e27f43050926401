"""Losses of margins and of sequences."""

from .margins import MarginLossOps

__all__ = ["MarginLossOps"]
