"""Linear algebra: factors of matrices, what is solved with them, and functions of matrices."""

from . import factors, solving

__all__ = ["factors", "solving"]
