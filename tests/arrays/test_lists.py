"""Lists of integers and Booleans, and Python's numbers beside references of integers, stay what they are: as NumPy, on every path."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean._core.array import as_tensor

N, B, F = np.array([[1, 2], [3, 2**53 + 1]]), np.array([[True, False], [True, True]]), np.array([[0.5, 1.5], [2.5, 3.5]])
#: ops and values -> the same in NumPy.
MOVES = {
    "stack": (lambda t, n, b, f: t.stack([n, [[5, 6], [7, 8]]]), lambda n, b, f: np.stack([n, [[5, 6], [7, 8]]])),
    "stack of numbers": (lambda t, n, b, f: t.stack([n[1, 1], 2]), lambda n, b, f: np.stack([n[1, 1], 2])),
    "stack of Booleans": (lambda t, n, b, f: t.stack([b, [[True, False]] * 2]), lambda n, b, f: np.stack([b, [[True, False]] * 2])),
    "Booleans and a number": (lambda t, n, b, f: t.stack([b[0, 0], 2]), lambda n, b, f: np.stack([b[0, 0], 2])),
    "floats": (lambda t, n, b, f: t.stack([f, n, [[1, 2], [3, 4]]]), lambda n, b, f: np.stack([f, n, [[1, 2], [3, 4]]])),
    "concat": (lambda t, n, b, f: t.concat([[[2**53 + 1, 0]], n], 0), lambda n, b, f: np.concatenate([[[2**53 + 1, 0]], n])),
    "where": (lambda t, n, b, f: t.where(b, n, [[7, 8], [9, 10]]), lambda n, b, f: np.where(b, n, [[7, 8], [9, 10]])),
    "where of lists": (lambda t, n, b, f: t.where(b, [[1, 2], [3, 4]], 0), lambda n, b, f: np.where(b, [[1, 2], [3, 4]], 0)),
    "set": (lambda t, n, b, f: n.at[0].set([8, 9]), lambda n, b, f: np.stack([[8, 9], n[1]])),
    "kron": (lambda t, n, b, f: t.kron(n, [[1, 2]]), lambda n, b, f: np.kron(n, [[1, 2]])),
    "searchsorted": (lambda t, n, b, f: t.searchsorted(n[1], [3, 2**53]), lambda n, b, f: np.searchsorted(n[1], [3, 2**53])),
}
#: Ops of a list alone.
ALONE = {
    "reshape": (lambda t, x: t.reshape(x, (4,)), lambda x: np.reshape(x, 4)),
    "permute": (lambda t, x: t.permute(x, (1, 0)), np.transpose),
    "take": (lambda t, x: t.take(x, [1, 0], 0), lambda x: np.take(x, [1, 0], 0)),
    "tile": (lambda t, x: t.tile(x, 2), lambda x: np.tile(x, 2)),
    "repeat": (lambda t, x: t.repeat(x, 2), lambda x: np.repeat(x, 2)),
    "flip": (lambda t, x: t.flip(x, 0), lambda x: np.flip(x, 0)),
    "roll": (lambda t, x: t.roll(x, 1), lambda x: np.roll(x, 1)),
    "tril": (lambda t, x: t.tril(x), np.tril),
    "sort": (lambda t, x: t.sort(x), np.sort),
    "diag": (lambda t, x: t.diag(x), np.diag),
    "broadcast": (lambda t, x: t.broadcast_to(x, (3, 2, 2)), lambda x: np.broadcast_to(x, (3, 2, 2))),
    "expand": (lambda t, x: t.expand_dims(x, 0), lambda x: np.expand_dims(x, 0)),
    "pad": (lambda t, x: t.pad(x, ((1, 0), (0, 0))), lambda x: np.pad(x, ((1, 0), (0, 0)))),
    "sum": (lambda t, x: t.sum(x), np.sum),
    "slices": (lambda t, x: t.slice(x, (0, 0), (2, 1)), lambda x: np.asarray(x)[:2, :1]),
    "along": (lambda t, x: t.take_along_axis(x, [[0], [1]], 1), lambda x: np.take_along_axis(np.asarray(x), np.array([[0], [1]]), 1)),
    "split": (lambda t, x: t.split(x, 2)[1], lambda x: np.split(np.asarray(x), 2)[1]),
    "unstacked": (lambda t, x: t.concat(list(x), 0), lambda x: np.concatenate(list(x))),
}


def known(y):
    y = y.value if hasattr(y, "ops") else y
    return np.asarray(y).dtype.name.replace("float64", "float32"), np.asarray(y).tolist()


@pytest.mark.parametrize("name", MOVES)
def test_beside_references(name):
    ours, numpy = MOVES[name]
    expected = known(numpy(N, B, F))
    session, tape = tl.Session(dtype="float64"), tl.TapeM(dtype="float64")
    for ops in (session, tl.Session(dtype="float64", backend="compiled"), tape, tl.backends.Reference()):
        leaf = ops.const if isinstance(ops, tl.backends.Reference) else lambda x, ops=ops: ops.add_leaf(as_tensor(x))
        assert known(ours(ops, *map(leaf, (N, B, F)))) == expected
    assert known(tl.jit(lambda n, b, f: ours(tl, n, b, f))(N, B, F)) == expected
    assert known(ours(tl, *map(tl.AnyTensor, (N, B, F)))) == expected


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("value", [[[1, 2], [3, 2**53 + 1]], [[True, False], [False, True]]], ids=["integers", "Booleans"])
def test_alone(name, value):
    ours, numpy = ALONE[name]
    expected = known(numpy(value))
    for ops in (tl, tl.Session(), tl.Session(backend="compiled"), tl.TapeM(), tl.backends.Reference()):
        assert known(ours(ops, value)) == expected, ops
    assert known(tl.jit(lambda x: (x, ours(tl, value)))(F)[1]) == expected


def test_lists_with_references_are_refused():
    s = tl.Session()
    n = s.add_leaf(as_tensor(N))
    x = s.leaf([0.5, 1.5])
    for call in (
        lambda: s.stack([[n, n]]),
        lambda: s.add([n[0, 0], 1], n),
        lambda: tl.reshape([n[0, 0], 1], (1, 2)),
        lambda: tl.tile([x[0], 1], 2),
    ):
        with pytest.raises(tl.NodeError, match="stack joins them"):
            call()
