"""The sessions that the tests of sessions run on, and the small regression that they take steps of."""

from __future__ import annotations

import numpy as np

import tlean as tl

CPU = {"eager": {"backend": "eager"}, "compiled": {"backend": "compiled"}}
#: With a device, or the emulation that `.ci/cuda` builds, the same tests run there.
CUDA = {"cuda": {"device": "cuda"}, "cuda compiled": {"device": "cuda", "backend": "compiled"}}
BACKENDS = CPU | (CUDA if tl.cuda.is_available() else {})


def options(backend, **changes):
    """Options of a backend; a device computes in float32."""
    made = BACKENDS[backend] | changes
    if "device" in made:
        made.pop("dtype", None)
    return tl.Options(**made)


def session(backend, **changes):
    return tl.Session(options(backend, **changes))


W, B, X, Y = np.array([[1.0, -2.0], [0.5, 3.0], [2.0, 1.0]]), np.array([0.1, 0.2, 0.3]), np.array([1.5, -1.0]), np.array([1.0, 2.0, 3.0])
RESIDUAL = W @ X + B - Y
DW, DB = 2 / 3 * np.outer(RESIDUAL, X), 2 / 3 * RESIDUAL


def near(found, expected, rtol=1e-12):
    found = np.asarray(found)
    single = found.dtype == "float32"
    np.testing.assert_allclose(found, np.asarray(expected), rtol=max(rtol, 2e-5) if single else rtol, atol=2e-6 if single else 1e-14)


def record(s, w, b):
    s.reset_tape()
    return s.mse_loss(s.linear(s.use(w), s.use(b), s.input(X)), s.const(Y))
