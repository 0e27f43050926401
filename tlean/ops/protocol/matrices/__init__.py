"""Linear algebra on stacks of matrices. Free functions are in `tl.linalg`."""

from __future__ import annotations

from .decompositions import DecompositionOps
from .factors import MatrixOps

__all__ = ["DecompositionOps", "MatrixOps"]
