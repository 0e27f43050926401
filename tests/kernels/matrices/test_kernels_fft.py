"""The kernels of Fourier transforms of every instruction set that there is, against NumPy: every radix, convolutions, lines as matrices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from kernel_calls import run_op, usable_instruction_sets

SUFFIXES = {"f32": "float32", "f64": "float64"}
each = pytest.mark.parametrize(("isa", "suffix"), list(itertools.product(usable_instruction_sets("fft"), SUFFIXES)))
#: Lengths: all small ones, primes beyond the radices, products of them, matrices with odd sides, long lines.
LENGTHS = [*range(1, 68), 97, 128, 143, 210, 243, 509, 1000, 1018, 2310, 4096, 5003, 1 << 16, 3**10, 1 << 17]


def near(actual, expected, suffix):
    error = np.linalg.norm(actual.astype(expected.dtype) - expected)
    assert error <= 8 * np.finfo(SUFFIXES[suffix]).eps * np.linalg.norm(expected)


def parts(z, suffix):
    return np.stack([z.real, z.imag], axis=-1).astype(SUFFIXES[suffix])


def joined(x):
    return x[..., 0].astype(np.float64) + 1j * x[..., 1].astype(np.float64)


@each
@pytest.mark.parametrize("around", [(1, 1), (19, 1), (2, 3), (1, 21)])
def test_transforms(isa, suffix, around):
    rng = np.random.default_rng(0)
    for n in LENGTHS:
        if around != (1, 1) and n > 600:
            continue
        shape = (around[0], n, around[1])
        x = parts(rng.standard_normal(shape) + 1j * rng.standard_normal(shape), suffix)
        z, h = joined(x), n // 2 + 1
        near(joined(run_op(isa, "fft", "_fft", suffix, x, axis=1)), np.fft.fft(z, axis=1), suffix)
        near(joined(run_op(isa, "fft", "_fft", suffix, x, axis=1, inverse=True)), np.fft.ifft(z, axis=1), suffix)
        real = np.ascontiguousarray(x[..., 0])
        counts = np.where((np.arange(h) == 0) | (2 * np.arange(h) == n), 1.0, 2.0)[:, np.newaxis]
        spectrum = np.fft.rfft(real.astype(np.float64), axis=1)
        near(joined(run_op(isa, "fft", "_rfft", suffix, real, axis=1)), spectrum, suffix)
        near(joined(run_op(isa, "fft", "_rfft", suffix, real, axis=1, doubled=True)), spectrum * counts, suffix)
        half = np.ascontiguousarray(x[:, :h])
        near(run_op(isa, "fft", "_irfft", suffix, half, n=n, axis=1), np.fft.irfft(z[:, :h], n, axis=1), suffix)
        near(run_op(isa, "fft", "_irfft", suffix, half, n=n, axis=1, doubled=False), np.fft.irfft(z[:, :h] / counts, n, axis=1), suffix)


@each
def test_a_line_does_not_depend_on_its_neighbours(isa, suffix):
    x = np.random.default_rng(0).standard_normal((40, 90, 2)).astype(SUFFIXES[suffix])
    y = run_op(isa, "fft", "_fft", suffix, x, axis=1)
    x[3], x[17, 5] = np.nan, np.inf
    z = run_op(isa, "fft", "_fft", suffix, x, axis=1)
    others = [k for k in range(40) if k not in (3, 17)]
    assert z[others].tobytes() == y[others].tobytes()
    assert np.isnan(z[3]).all() and not np.isfinite(z[17]).any()
    assert run_op(isa, "fft", "_fft", suffix, x[4:11], axis=1).tobytes() == y[4:11].tobytes()
