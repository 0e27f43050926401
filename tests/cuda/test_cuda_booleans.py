"""Booleans on a device: bytes at the border of fused groups, lanes inside."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

if not tl.cuda.is_available():
    reason = "needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
    pytest.skip(reason, allow_module_level=True)

PROGRAMS = {
    "groups": lambda x, y, m: (tl.where((x > y) & m, x * y, tl.square(y)), x > y, ~(x * 2.0 > y), x * m),
    "sums": lambda x, y, m: (tl.sum(tl.where(x > y, x * x, y)), tl.any(x > 2.5), tl.all(m | ~m), tl.any(m)),
    "alone": lambda x, y, m: (x.at[x > 0].mul(0), tl.where(m, x, y), tl.where(x, y, 0.0), tl.logical_xor(m, x), tl.isclose(x, y)),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("n", [1, 3, 5003])
def test_programs_of_booleans(name, n):
    rng = np.random.default_rng(n)
    x, y = (rng.integers(-3, 4, n).astype("float32") for _ in range(2))
    m = rng.random(n) < 0.5
    for ours, there in zip(tl.jit(PROGRAMS[name])(x, y, m), tl.jit(PROGRAMS[name], device="cuda")(x, y, m), strict=True):
        assert ours.dtype == there.dtype and ours.shape == there.shape
        np.testing.assert_allclose(there.numpy(), ours.numpy(), rtol=1e-5)
