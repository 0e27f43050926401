"""Kernels that factor matrices and solve with factors."""

from .factors import FAMILY

__all__ = ["FAMILY"]
