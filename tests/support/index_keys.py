"""Shapes, and keys for them, drawn at random."""

from __future__ import annotations

import os

import numpy as np
from hypothesis import reject, settings
from hypothesis import strategies as st


def drawn(cases: int) -> settings:
    """So many cases, the same ones in every run; where TLEAN_EXAMPLES says how many there are to be, new ones in each."""
    wanted = os.environ.get("TLEAN_EXAMPLES")
    return settings(max_examples=int(wanted or cases), deadline=None, derandomize=not wanted, database=None)


sizes = st.integers(0, 4)
shapes = st.lists(sizes, max_size=5).map(tuple)


@st.composite
def keys(draw, shape):
    """A key for an array of that shape, mostly a good one."""
    entries, axis = [], 0
    batch = draw(st.lists(st.integers(1, 3), max_size=2).map(tuple))
    whole = draw(st.booleans())
    while axis < len(shape) and (whole or draw(st.integers(0, 5))):
        n = shape[axis]
        kind = draw(st.sampled_from(["int", "slice", "slice", "array", "array", "mask", "none"]))
        if kind == "none":
            entries.append(None)
            continue
        if kind == "int" and n:
            entries.append(draw(st.integers(-n, n - 1)))
        elif kind == "array" and n:
            part = batch[draw(st.integers(0, len(batch))) :]
            part = tuple(draw(st.sampled_from([1, d])) for d in part)
            entries.append(np.array(draw(st.lists(st.integers(-n, n - 1), min_size=int(np.prod(part)), max_size=int(np.prod(part))))))
            entries[-1] = entries[-1].reshape(part).astype(int)
            if draw(st.booleans()):
                entries[-1] = entries[-1].tolist()
        elif kind == "mask":
            covers = draw(st.integers(0, min(2, len(shape) - axis)))
            some = shape[axis : axis + covers]
            flags = draw(st.lists(st.booleans(), min_size=int(np.prod(some)), max_size=int(np.prod(some))))
            entries.append(np.array(flags, bool).reshape(some) if covers else draw(st.booleans()))
            axis += covers
            continue
        else:
            bound = st.none() | st.integers(-6, 6)
            entries.append(slice(draw(bound), draw(bound), draw(st.none() | st.sampled_from([-3, -2, -1, 1, 2, 3]))))
        axis += 1
    if draw(st.booleans()):
        entries.insert(draw(st.integers(0, len(entries))) if axis == len(shape) else len(entries), ...)
    return entries[0] if len(entries) == 1 and draw(st.booleans()) else tuple(entries)


@st.composite
def good_keys(draw):
    """A shape, and a key that NumPy takes for an array of it."""
    shape = draw(shapes)
    key = draw(keys(shape))
    try:
        np.zeros(shape)[key]
    except IndexError:
        reject()
    return shape, key
