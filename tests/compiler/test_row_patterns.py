"""A row that a group repeats, in a range whose last elements are a separate block."""

from __future__ import annotations

import numpy as np

import tlean as tl


def program(ops, x, w):
    # Enough to do for each element that a second thread is awake before the first has done its half.
    y = ops.add(x, w)
    for _ in range(8):
        y = ops.erf(ops.add(y, w))
    return ops.mean(ops.square(y))


def test_the_end_of_a_range_reads_its_own_row():
    # 1,030 rows of 33: the second segment of the sum has whole strips and a rest, which begins earlier in a row than the segment does. The
    # thread that sums it has written that row for nothing else; other rows lie where it does.
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1030, 33)).astype("float32")
    rows = [np.full(33, np.nan, "float32"), rng.standard_normal(33).astype("float32")]
    compiled = tl.compile_out(program, [x.shape, (33,)])
    before = tl.get_num_threads()
    try:
        tl.set_num_threads(1)
        wanted = compiled(x, rows[1]).numpy()
        tl.set_num_threads(2)
        found = [compiled(x, row).numpy() for _ in range(100) for row in rows][1::2]
    finally:
        tl.set_num_threads(before)
    assert not np.isnan(wanted)
    assert all(y == wanted for y in found)
