"""Linear algebra on stacks of matrices. Free functions are in `tl.linalg`."""

from __future__ import annotations

from .factors import MatrixOps

__all__ = ["MatrixOps"]
