"""One sample through tlean, eagerly and compiled, compared with PyTorch's answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch.testing._internal.opinfo.core import OpInfo

import tlean as tl

from .exceptions import BOUNDS, FLOATS, HOLLOW, UNORDERED
from .samples import Answer, Mismatch, Sample, Skip, answer, arrays, leaves, mapped

#: Relative to the greatest magnitude of an array, at least 1.
BOUND = 1e-10


#: What an error of tlean's says, and why that is its answer.
_REFUSALS = (
    ("for 0 axes", "an axis of an array without axes: an error, as in NumPy"),
    ("Booleans alone are not taken", "arithmetic of Booleans: an error that names what to write"),
    ("must have at least one element", "an axis without elements: an error"),
    ("takes at least one element", "an axis without elements: an error"),
)


def _refused(error: Exception) -> Exception:
    return next((Skip(reason) for words, reason in _REFUSALS if words in str(error)), error)


class Known:
    """Wraps an adapter whose integers and Booleans are part of the program: they make a shape, or choose one.

    The first tensors stay inputs of any dtype: `inputs` of them.
    """

    def __init__(self, f: Callable[..., Any], inputs: int = 1) -> None:
        self.f, self.inputs = f, inputs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.f(*args, **kwargs)


class Gauged:
    """Wraps an adapter of an entry of which several results are right: one of them is chosen on both sides.

    Attributes:
        f: the adapter.
        theirs: of PyTorch's function, one that gives what is compared.
        note: what is compared, where that is not the whole result.
    """

    def __init__(self, f: Callable[..., Any], theirs: Callable[[Callable[..., Any]], Callable[..., Any]], note: str = "") -> None:
        self.f, self.theirs, self.note = f, theirs, note

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.f(*args, **kwargs)


def _close(what: str, ours: np.ndarray, theirs: np.ndarray, bound: float) -> None:
    if ours.shape != theirs.shape:
        raise Mismatch(f"{what}: the shape {ours.shape}, PyTorch has {theirs.shape}")
    if ours.dtype.kind != theirs.dtype.kind:
        raise Mismatch(f"{what}: {ours.dtype}, PyTorch has {theirs.dtype}")
    if theirs.dtype.kind in "bi":
        if not np.array_equal(ours, theirs):
            raise Mismatch(f"{what}: {ours.ravel()[:6]}, PyTorch has {theirs.ravel()[:6]}")
        return
    finite = np.isfinite(theirs)
    scale = max(1.0, float(np.abs(theirs[finite]).max(initial=0.0)))
    with np.errstate(invalid="ignore"):
        good = np.where(finite, np.abs(ours - theirs) <= bound * scale, (ours == theirs) | (np.isnan(ours) & np.isnan(theirs)))
    if not good.all():
        where = tuple(int(k) for k in np.argwhere(~good)[0])
        raise Mismatch(f"{what}[{', '.join(map(str, where))}]: {ours[where]!r}, PyTorch has {theirs[where]!r}")


def _same(what: str, eager: np.ndarray | None, compiled: np.ndarray | None) -> None:
    if eager is None or compiled is None:
        if eager is not compiled:
            raise Mismatch(f"{what}: only one of eager and compiled has a derivative")
    elif (eager.shape, eager.dtype, eager.tobytes()) != (compiled.shape, compiled.dtype, compiled.tobytes()):
        raise Mismatch(f"{what}: the bits of the eager and the compiled run differ")


def _array(x: Any) -> np.ndarray | None:
    return None if x is None else np.asarray(x)


def _program(sample: Sample, adapter: Callable[..., Any], given: list[np.ndarray], inputs: list[int]) -> Callable[..., Any]:
    # A function of the float64 scalar that makes Python numbers float64, and of the arrays that are inputs.
    def program(_unit: Any, *xs: Any) -> Any:
        supply = iter([xs[inputs.index(k)] if k in inputs else x for k, x in enumerate(given)])
        args, kwargs = mapped(lambda _: next(supply), [sample.args, sample.kwargs])
        results = leaves(adapter(*args, **kwargs))
        return [r if isinstance(r, tl.Ref) else tl.astype(r, np.asarray(r).dtype) for r in results]

    return program


def _ours(sample: Sample, adapter: Callable[..., Any], given: list[np.ndarray], theirs: Answer, backend: str) -> tuple[list, list, list]:
    leading = adapter.inputs if isinstance(adapter, Known) else len(given)
    inputs = [k for k, x in enumerate(given) if k < leading or x.dtype.kind == "f"]
    program = _program(sample, adapter, given, inputs)
    xs = [np.float64(1.0), *(given[k] for k in inputs)]
    y, pull = tl.vjp(program, *xs, backend=backend)
    values = [np.asarray(v) for v in y]
    vjp: list[np.ndarray | None] = [None] * len(given)
    jvp: list[np.ndarray | None] = [None] * len(values)
    if any(c is not None for c in theirs.cotangents):
        if len(values) != len(theirs.values):
            raise Mismatch(f"{len(values)} results, PyTorch has {len(theirs.values)}")
        zeros = [np.zeros(v.shape) if c is None else c for v, c in zip(values, theirs.cotangents, strict=True)]
        for k, g in zip(inputs, pull(zeros)[1:], strict=True):
            vjp[k] = _array(g)
        directions = [np.float64(0.0), *(None if given[k].dtype.kind != "f" else _direction(theirs, given, k) for k in inputs)]
        jvp = [_array(t) for t in tl.jvp(program, xs, directions, backend=backend)[1]]
    return values, vjp, jvp


def _direction(theirs: Answer, given: list[np.ndarray], k: int) -> np.ndarray:
    d = theirs.directions[k]
    return np.zeros(given[k].shape, given[k].dtype) if d is None else d.astype(given[k].dtype)


def check(sample: Sample, op: OpInfo, adapter: Callable[..., Any]) -> None:
    """Run a sample. Raises: Mismatch; Skip; whatever tlean raises."""
    given = arrays(sample)
    if sample.name in UNORDERED and not sample.kwargs.get("stable") and any(np.unique(x).size < x.size for x in given):
        raise Skip("the places of equal elements, which PyTorch leaves open")
    if isinstance(adapter, Gauged):
        sample.call = adapter.theirs(sample.call)
    theirs = answer(sample, op)
    if sample.name in HOLLOW and any(np.isneginf(v).any() for v in theirs.values):
        raise Skip("a line that is masked throughout, whose result has no derivative")
    try:
        eager, compiled = (_ours(sample, adapter, given, theirs, backend) for backend in ("eager", "compiled"))
    except tl.TleanError as error:
        raise _refused(error) from None
    values, vjp, jvp = eager
    bound = 1e-5 if any(x.dtype == np.float32 for x in [*given, *theirs.values]) else BOUNDS.get(sample.name, (BOUND, ""))[0]
    if sample.name in FLOATS and not any(x.dtype.kind == "f" for x in given):
        values = [_whole(v, t) for v, t in zip(values, theirs.values, strict=True)]
    if len(values) != len(theirs.values):
        raise Mismatch(f"{len(values)} results, PyTorch has {len(theirs.values)}")
    for what, firsts, seconds in zip(("value", "VJP", "JVP"), eager, compiled, strict=True):
        for k, (a, b) in enumerate(zip(firsts, seconds, strict=True)):
            _same(f"{what} {k}", a, b)
    for k, (a, b) in enumerate(zip(values, theirs.values, strict=True)):
        _close(f"value {k}", a, b, bound)
    for k, b in enumerate(theirs.vjp):
        if b is not None:
            a = vjp[k]
            _close(f"VJP {k}", np.zeros(b.shape) if a is None else a, b, bound)
    if theirs.jvp is not None:
        for k, b in enumerate(theirs.jvp):
            if b is not None:
                a = jvp[k]
                _close(f"JVP {k}", np.zeros(b.shape) if a is None else a, b, bound)
    elif any(c is not None for c in theirs.cotangents):
        _transposed(theirs, jvp, bound)


def _whole(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    # Floats that are whole numbers, as integers; means are cut off, as PyTorch's.
    return np.trunc(ours).astype(theirs.dtype) if ours.dtype.kind == "f" and theirs.dtype.kind == "i" else ours


def _transposed(theirs: Answer, jvp: list[np.ndarray | None], bound: float) -> None:
    # Where PyTorch has no JVP: ⟨g, our JVP⟩ is ⟨its VJP, t⟩.
    first = sum(float(np.sum(c * t)) for c, t in zip(theirs.cotangents, jvp, strict=True) if c is not None and t is not None)
    second = sum(float(np.sum(g * d)) for g, d in zip(theirs.vjp, theirs.directions, strict=True) if g is not None and d is not None)
    _close("⟨g, JVP⟩", np.asarray(first), np.asarray(second), bound)
