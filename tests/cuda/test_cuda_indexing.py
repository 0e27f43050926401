"""`x[key]`, `x.at[key]` and the named gathers on a device, or on the host emulation that `.ci/cuda` builds, against the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

if not tl.cuda.is_available():
    reason = "needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
    pytest.skip(reason, allow_module_level=True)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4, 5)).astype("f4")
ROWS = np.array([2, 0, -1, 2])
KEYS = [
    1, (slice(None, None, -1), 2), (..., slice(4, 0, -2)), None, ROWS, (slice(None), ROWS), (ROWS, slice(1, 3), ROWS),
    (0, slice(None), [4, 4, 0]), X > 0, (slice(1, None), np.array([True, False, True, True])), (ROWS[:, None], [[0, 1]], None),
]  # fmt: skip
PROGRAMS = [
    *(lambda ops, x, i, key=key: x[key] for key in KEYS),
    *(lambda ops, x, i, key=key, how=how: getattr(x.at[key], how)(x[key] * 0.5) for key in KEYS for how in ("set", "add", "mul", "max")),
    lambda ops, x, i: x[i, 1:, i],
    lambda ops, x, i: x.at[:, i].mul(2.0),
    lambda ops, x, i: ops.take_along_axis(x, np.argsort(X, 1), 1),
    lambda ops, x, i: ops.segment_mean(ops.reshape(x, (4, 15)), [1, 0, 1, 4], 5),
    lambda ops, x, i: ops.dynamic_update_slice(x, x[:1, :2, :2], (1, 2, -2)),
]


@pytest.mark.parametrize("k", range(len(PROGRAMS)))
def test_a_device_gives_what_the_cpu_gives(k):
    found = []
    for device in ("cpu", "cuda"):
        for backend in ("eager", "compiled"):
            s = tl.Session(backend=backend, device=device)
            x = s.input(X)
            y = PROGRAMS[k](s, x, ROWS)
            loss = s.sum(s.mul(y, y))
            gradient = s.grad(s.backward_scalar_dense_all(loss), x)
            found.append((y.numpy(), gradient.numpy()))
    for value, gradient in found[1:]:
        np.testing.assert_allclose(value, found[0][0], rtol=1e-6)
        np.testing.assert_allclose(gradient, found[0][1], rtol=1e-5, atol=1e-6)


N = 300_000
PATTERNS = {
    "each once": RNG.permutation(N),
    "all the same": np.zeros(N, np.int64),
    "two by turns": np.arange(N) % 2,
    "one half the same": np.r_[np.arange(N // 2), np.full(N // 2, 7)],
    "one bucket": RNG.integers(0, 40, N) << 40,
}


@pytest.mark.parametrize("which", ["previous", "next", "last", "first", "start"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_indices_of_one_entry_find_each_other_quickly(pattern, which):
    # With as many steps as indices for each of them this would take minutes.
    i = PATTERNS[pattern]
    found = [tl.Session(device=device)._neighbours(i, size=1 << 50, which=which).numpy() for device in ("cpu", "cuda")]
    np.testing.assert_array_equal(found[1], found[0])
