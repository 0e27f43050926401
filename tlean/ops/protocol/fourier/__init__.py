"""Discrete Fourier transforms. Free functions on complex arrays are in `tl.fft`."""

from __future__ import annotations

from .transforms import FourierOps

__all__ = ["FourierOps"]
