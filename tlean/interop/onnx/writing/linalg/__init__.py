"""Matrices: their factors, spectra, exponentials, and derivatives of determinants, as loops."""

from . import exponentials, factors, reflections, rotations

__all__ = ["exponentials", "factors", "reflections", "rotations"]
