"""Discrete Fourier transforms and complex products: complex numbers are a last axis of two, the real and the imaginary part."""

from . import forms, transforms

__all__ = ["forms", "transforms"]
