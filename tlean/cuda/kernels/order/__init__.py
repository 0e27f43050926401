"""Kernels that put elements in order."""

from .sorts import FAMILY

__all__ = ["FAMILY"]
