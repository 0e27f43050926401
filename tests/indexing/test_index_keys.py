"""Keys of `x[key]`, by themselves: what `parse` says of a key is what NumPy does with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from index_keys import drawn, keys, shapes

from tlean._core.array import AnyTensor
from tlean.errors import DTypeError, IndexRangeError, OptionError, ShapeError
from tlean.indexing.key import parse


def read(x, key):
    """What a parsed key takes of x, by plain means: the box, then the advanced part in front, then to its place."""
    parsed = parse(key, x.shape)
    box = tuple(slice(a, None if s < 0 and b < 0 else b, s) for a, b, s in zip(parsed.starts, parsed.stops, parsed.steps, strict=True))
    y = x[box]
    assert y.shape == parsed.box
    if parsed.advanced:
        axes = [a for a in parsed.axes if a >= 0]
        rest = [a for a in range(x.ndim) if a not in axes]
        indices = np.broadcast_arrays(np.zeros(parsed.batch, int), *parsed.indices)[1:]
        y = y.transpose(*axes, *rest)[tuple(i for i, a in zip(indices, parsed.axes, strict=True) if a >= 0)]
        if not axes:
            y = np.broadcast_to(y, (*parsed.batch, *y.shape))
        n = len(parsed.batch)
        y = np.moveaxis(y, range(n), range(parsed.front, parsed.front + n))
    return y.reshape(parsed.shape)


@drawn(500)
@given(st.data())
def test_parsed_keys_take_what_numpy_takes(data):
    shape = data.draw(shapes)
    key = data.draw(keys(shape))
    x = np.arange(np.prod(shape), dtype=int).reshape(shape)
    try:
        expected = x[key]
    except IndexError as error:
        with pytest.raises((IndexRangeError, ShapeError)):
            read(x, key)
        assert "index" in str(error) or "indices" in str(error)
        return
    result = read(x, key)
    assert result.shape == expected.shape
    np.testing.assert_array_equal(result, expected)
    for array in (AnyTensor(x), AnyTensor(x > 2)):
        part = array[key]
        assert isinstance(part, AnyTensor) and (part.dtype, part.shape) == (array.dtype, expected.shape)
        np.testing.assert_array_equal(part, np.asarray(array)[key])


BAD = [
    (0, (), IndexRangeError),
    ((0, 0), (3,), IndexRangeError),
    (3, (3,), IndexRangeError),
    (-4, (3,), IndexRangeError),
    (2**70, (3,), IndexRangeError),
    ([0, 3], (3,), IndexRangeError),
    ((..., ...), (3,), IndexRangeError),
    (1.0, (3,), DTypeError),
    ([0.5], (3,), DTypeError),
    ("a", (3,), DTypeError),
    (slice(0, 3, 0), (3,), OptionError),
    (slice(0.5), (3,), OptionError),
    ([[0], [0, 1]], (3,), DTypeError),
    (([0, 1], [0, 1, 2]), (3, 3), ShapeError),
    (np.array([True, False]), (3,), ShapeError),
    (object(), (3,), DTypeError),
]


@pytest.mark.parametrize(("key", "shape", "error"), BAD)
def test_bad_keys_are_refused(key, shape, error):
    with pytest.raises(error, match=r"^x\[\.\.\.\]: "):
        parse(key, shape)


def test_modes_say_what_an_index_out_of_range_takes():
    assert parse([-1, 5, 1], (3,), "clip").indices[0].tolist() == [0, 2, 1]
    assert parse([-1, 5, -4, 1], (3,), "fill").indices[0].tolist() == [2, -1, -1, 1]
    with pytest.raises(OptionError):
        parse([0], (3,), "wrap")
