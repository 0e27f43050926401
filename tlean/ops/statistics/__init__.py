"""Products, variances and norms over axes, running reductions, and order: what a program asks of its data."""

from . import forms, moments, order, running

__all__ = ["forms", "moments", "order", "running"]
