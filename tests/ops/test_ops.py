"""The registry, walked: every op's kernel and rules against the reference, finite differences and each other, on both dtypes.

`tlean.testing.check_op` is the engine; the ops and their samples come from the registry, so a new op needs no new test.
"""

from __future__ import annotations

import pytest

import tlean as tl
from tlean.ops import all_ops
from tlean.testing import check_op

RECORDS = [r for r in all_ops() if r.samples]
#: Relative tolerance of a kernel against the reference, in units of the largest value.
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


@pytest.mark.parametrize("name", [r.name for r in RECORDS])
def test_op(name):
    check_op(name, tol=TOLERANCE)


def test_every_public_op_is_sampled():
    assert [r.name for r in all_ops(internal=False) if not r.samples] == []


def test_free_functions_compute():
    assert tl.relu([-1.0, 2.0]).tolist() == [0.0, 2.0]
