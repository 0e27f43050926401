"""Fourier transforms of complex and of real numbers, beside SciPy's pocketfft."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rows.libraries import Bound, CompiledRow, Timed

_FAMILY = "Fourier transforms"
#: Of SciPy's time.
_MOST = 1.3
_SIZES = {"1K": (1 << 10,), "1M": (1 << 20,), "512x512": (512, 512)}


def _numbers(real: bool, shape: tuple[int, ...], dtype: str) -> Callable[[np.random.Generator], list[np.ndarray]]:
    def arrays(rng: np.random.Generator) -> list[np.ndarray]:
        x = rng.standard_normal(shape)
        return [x.astype(dtype) if real else (x + 1j * rng.standard_normal(shape)).astype(dtype)]

    return arrays


def _ours(name: str, real: bool) -> Callable[[list[np.ndarray]], Timed]:
    def build(arrays: list[np.ndarray]) -> Timed:
        import tlean as tl

        transform, x = getattr(tl.fft, name), tl.AnyTensor(arrays[0]) if real else tl.fft.as_complex(arrays[0])
        return lambda: transform(x)

    return build


def _torch(name: str) -> Callable[[list[np.ndarray]], Timed]:
    def build(arrays: list[np.ndarray]) -> Timed:
        import torch

        transform, x = getattr(torch.fft, name), torch.from_numpy(arrays[0])
        return lambda: transform(x)

    return build


def _jax(name: str) -> Callable[[list[np.ndarray]], Timed]:
    def build(arrays: list[np.ndarray]) -> Timed:
        import jax

        transform, x = jax.jit(getattr(jax.numpy.fft, name)), jax.numpy.asarray(arrays[0])
        return lambda: jax.block_until_ready(transform(x))

    return build


def _scipy(name: str) -> Callable[[Any], Any]:
    def transform(x: Any) -> Any:
        from scipy import fft

        return getattr(fft, name)(x)

    return transform


def fourier_rows() -> list[CompiledRow]:
    """Of 1,024, of a million, and of 512 by 512 numbers."""
    rows = []
    for label, shape in _SIZES.items():
        for real, dtype in ((False, "complex128"), (True, "float64"), (False, "complex64")):
            name = f"{'r' if real else ''}fft{'2' if len(shape) == 2 else ''}"
            sides = (_ours(name, real), _torch(name), _jax(name))
            bounds = (Bound(_MOST, "numpy"),)
            row = (f"{name}_{label}_{dtype}", "call", _numbers(real, shape, dtype), 0, *sides, _FAMILY, bounds, _scipy(name))
            rows.append(CompiledRow(*row))
    return rows
