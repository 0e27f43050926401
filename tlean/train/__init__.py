"""Training: parameters, trainers, optimisers, data."""

from . import tapem

__all__ = ["tapem"]
