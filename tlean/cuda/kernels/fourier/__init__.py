"""Kernels of Fourier transforms."""

from .transforms import FAMILY

__all__ = ["FAMILY"]
