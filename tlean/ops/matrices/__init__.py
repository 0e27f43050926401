"""Linear algebra: factors of matrices, what is solved with them, and functions of matrices."""

from . import decompositions, factors, rectangles, solving, spectra

__all__ = ["decompositions", "factors", "rectangles", "solving", "spectra"]
