"""Products, variances and norms over axes, running reductions, and order: what a program asks of its data."""

from . import forms, moments, running

__all__ = ["forms", "moments", "running"]
