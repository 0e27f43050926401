"""Elementwise ops on arrays of many blocks, in a process that has run nothing before: no leftover memory hides a missing allocation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import numpy as np, tlean as tl
n = {n}
a, b = np.linspace(0.5, 2, n), np.cos(np.arange(n))
s = tl.Session(dtype="float64")
x, y = s.param(a), s.param(b)
g = np.sin(np.arange(n))
s.reset_tape()
p, q = s.use(x), s.use(y)
grads = s.backward_dense_all(s.{op}(p, q), g)
np.testing.assert_allclose(grads[p.id], {da}, rtol=1e-12, atol=1e-300)
np.testing.assert_allclose(grads[q.id], {db}, rtol=1e-12, atol=1e-300)
"""


@pytest.mark.parametrize("n", [1000, 5000, 300_000])
@pytest.mark.parametrize(
    ("op", "da", "db"),
    [
        ("mul", "g * b", "g * a"),
        ("div", "g / b", "-g * a / b**2"),
        ("max", "g * (a > b)", "g * (b > a)"),
    ],
)
def test_gradients_in_a_fresh_process(op: str, da: str, db: str, n: int) -> None:
    program = PROGRAM.format(n=n, op=op, da=da, db=db)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
