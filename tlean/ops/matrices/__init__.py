"""Linear algebra: factors of matrices, what is solved with them, and functions of matrices."""

from . import checks, cofactors, decompositions, factors, rectangles, solving, spectra

__all__ = ["checks", "cofactors", "decompositions", "factors", "rectangles", "solving", "spectra"]
