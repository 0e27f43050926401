"""Calls of integers and Booleans, run on every path."""

from __future__ import annotations

import numpy as np

import tlean as tl
from tlean._core.array import as_tensor
from tlean.interpreters.dual import Dual
from tlean.interpreters.eager import EagerOps
from tlean.ops import Spec

DTYPES = ("int64", "int32", "bool")
CORNERS = (0, 1, -1, 2, -2, 3, 31, 32, 63, 64, -64, 2**31 - 1, -(2**31), 2**53 + 1, 2**53, -(2**53) - 1, 2**63 - 1, -(2**63))


def drawn(shape, dtype, seed):
    """Corners and small numbers, as values of that dtype."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    held = [c for c in CORNERS if np.iinfo(dtype).min <= c <= np.iinfo(dtype).max]
    return np.where(rng.random(shape) < 0.5, rng.choice(held, shape), rng.integers(-9, 10, shape)).astype(dtype)


def bits(x):
    x = np.asarray(x)
    return x.shape, x.dtype.name, x.tobytes()


def everywhere(call, arrays):
    """The value of a call of `call(ops, *refs)`, the same bits on every path."""
    eager = EagerOps("float32")
    value = call(eager, *[eager.add_leaf(as_tensor(a), True) for a in arrays])
    assert not value.requires_grad
    found = [value.value, tl.compile_out(call, [Spec(a.shape, a.dtype.name) for a in arrays])(*arrays)]
    session = tl.Session(dtype="float64", backend="compiled")
    found.append(call(session, *[session.add_leaf(as_tensor(a)) for a in arrays]).value)
    dual = Dual(EagerOps("float64"))
    y = call(dual, *[dual.lift(dual.inner.add_leaf(as_tensor(a))) for a in arrays])
    assert y.tangent is None
    found.append(y.primal.value)
    eager.by_definition = True
    found.append(call(eager, *[eager.add_leaf(as_tensor(a)) for a in arrays]).value)
    assert len({bits(f) for f in found}) == 1, found
    return found[0].numpy()
