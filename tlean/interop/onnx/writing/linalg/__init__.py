"""Matrices: their factors, spectra, exponentials, and derivatives of determinants, as loops."""

from . import cofactors, exponentials, factors, reflections, rotations

__all__ = ["cofactors", "exponentials", "factors", "reflections", "rotations"]
