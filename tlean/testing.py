"""Checks of ops and programs, for the library's own tests and for users who write ops: `check_op`, `check_grads`.

Both raise AssertionError with a message that says what disagreed, by how much, and for which input.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from . import errors, tree
from ._core.array import AnyTensor, as_tensor
from ._core.plan.plan import run
from ._core.threads import get_num_threads, set_num_threads
from .autodiff import grad, jvp, vjp
from .compiler.cpu import kernel_address
from .compiler.derive import decomposition
from .compiler.graph import Graph
from .compiler.lower import lower
from .dtypes import FLOATS
from .errors import OptionError, ShapeError
from .interpreters.dual import Dual
from .interpreters.eager import EagerOps
from .ops import OpDef, Spec, get
from .ops.samples import Arr, Sample
from .programs.jit import jit
from .reference.interpreter import Reference

__all__ = ["Arr", "Sample", "check_grads", "check_op"]

#: Relative tolerances of values, in units of the largest: kernels sum in another order than a reference.
_TOLERANCE = {"float32": 2e-5, "float64": 1e-10}
_MODES = ("fwd", "rev")


# Gradients ----------------------------------------------------------------------------------------------------------------


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = _MODES,
    *,
    eps: float = 1e-6,
    tol: float = 1e-6,
    seed: int = 0,
) -> None:
    """Check the derivatives of a program against central differences, each mode and order, in float64.

    For every floating-point argument: forward mode along a random direction t against (f(x + eps·t) − f(x − eps·t)) / (2·eps); reverse
    mode by ⟨g, J t⟩ = ⟨Jᵀ g, t⟩ for a random cotangent g; then the same for the gradient program, up to `order`.

    Args:
        f: `f(ops, *args)` returns a reference, or a tree of them.
        args: arrays; integers and Booleans are held fixed. Away from kinks and ties: a central difference means nothing there.
        order: how often to differentiate, at least 1.
        modes: "fwd", "rev" or both.
        eps: the step of the central difference.
        tol: how far off a derivative may be, relative to the largest value of the two; rounding of f is added.
        seed: of the random directions.

    Raises: AssertionError where a derivative is wrong; OptionError for a bad order or mode; ShapeError where no argument is floating-point.
    Source: the directional check is that of HIPS autograd's `test_util.py`.
    """
    if isinstance(modes, str) or not modes or not set(modes) <= set(_MODES):
        raise OptionError(f"check_grads: modes must be {_MODES}, got {modes!r}")
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise OptionError(f"check_grads: order must be an int of at least 1, got {order!r}")
    arrays = [as_tensor(a).numpy() for a in args]
    free = [k for k, a in enumerate(arrays) if a.dtype.kind == "f"]
    if not free:
        raise ShapeError("check_grads: there is no floating-point argument to differentiate by")

    def program(ops: Any, *moved: Any) -> Any:
        full = list(arrays)
        for k, x in zip(free, moved, strict=True):
            full[k] = x
        return tree.flatten(f(ops, *full))[0]

    points = [arrays[k].astype(np.float64) for k in free]
    names = [_argument_name(f, k) for k in free]
    _check_order(program, points, names, order, 1, modes, eps, tol, np.random.default_rng(seed))


def _argument_name(f: Callable[..., Any], k: int) -> str:
    # The name of argument k of f(ops, *args), where its signature has one.
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        return f"argument {k}"
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return f"argument {k} ({named[k + 1]})" if k + 1 < len(named) else f"argument {k}"


def _check_order(
    f: Callable[..., Any],
    xs: list[np.ndarray],
    names: list[str],
    order: int,
    level: int,
    modes: Sequence[str],
    eps: float,
    tol: float,
    rng: np.random.Generator,
) -> None:
    run = jit(f)
    ys = [_array(y) for y in run(*xs)]
    gs = [rng.standard_normal(y.shape) if y.dtype.kind == "f" else None for y in ys]
    if all(g is None for g in gs):
        return

    def weighed(ops: Any, *moved: Any) -> Any:
        # ⟨g, f(x)⟩: its gradient is the vector-Jacobian product, as a program that can be differentiated again.
        terms = [ops.sum(ops.mul(y, ops.const(g))) for y, g in zip(f(ops, *moved), gs, strict=True) if g is not None]
        total = terms[0]
        for t in terms[1:]:
            total = ops.add(total, t)
        return total

    pulled = [_array(d) for d in grad(weighed, tuple(range(len(xs))))(*xs)] if "rev" in modes else []
    which = {1: "first", 2: "second", 3: "third"}.get(level, f"{level}th")
    for k, (x, name) in enumerate(zip(xs, names, strict=True)):
        t = rng.standard_normal(x.shape)
        ends = [run(*xs[:k], x + sign * eps * t, *xs[k + 1 :]) for sign in (1, -1)]
        differences = [(_array(a) - _array(b)) / (2 * eps) if g is not None else None for a, b, g in zip(*ends, gs, strict=True)]
        # Each end is rounded: 2⁻⁵² of the values, or of the terms of which they are what is left, divided by 2·eps; and something for the
        # ops in between.
        noise = [16 * np.finfo(np.float64).eps * max(_largest(y), 1.0) / eps if g is not None else 0.0 for y, g in zip(ys, gs, strict=True)]
        about = f"the {which} derivative by {name}, {x.shape}"
        moved = None
        if "fwd" in modes:
            directions = [t if j == k else np.zeros_like(z) for j, z in enumerate(xs)]
            moved = [_array(d) for d in jvp(f, tuple(xs), tuple(directions))[1]]
            for j, (m, d) in enumerate(zip(moved, differences, strict=True)):
                if d is not None:
                    where = f" of output {j}" if len(ys) > 1 else ""
                    _compare(m, d, tol, noise[j], f"check_grads: {about}{where}, forward mode", "the central difference")
        if "rev" in modes:
            right = _inner([pulled[k]], [t])
            if moved is not None:
                left, bound, other = _inner(moved, gs), 1e-10, "forward mode"
                scale = _norm(moved) * _norm(gs) + _norm([pulled[k]]) * _norm([t])
            else:
                left, bound, other = _inner(differences, gs), tol, "the central difference"
                scale = max(abs(left), abs(right)) + sum(noise) * _norm(gs) / tol
            if not abs(left - right) <= bound * scale + 16 * np.finfo(np.float64).eps * _norm(gs) * _norm([t]):
                raise AssertionError(
                    f"check_grads: {about}, reverse mode: <J'g, t> = {right:.10g}, while {other} gives <g, J t> = {left:.10g} "
                    f"(off by {abs(left - right):.3g})"
                )
    if level < order:
        gradient = grad(weighed, tuple(range(len(xs))))
        _check_order(lambda ops, *moved: list(gradient(ops, *moved)), xs, names, order, level + 1, modes, max(eps, 1e-6), 10 * tol, rng)


# Ops ------------------------------------------------------------------------------------------------------------------------


def check_op(
    op: OpDef | str,
    samples: Iterable[Any] | None = None,
    *,
    reference: Callable[..., Any] | None = None,
    order: int = 2,
    modes: Sequence[str] = _MODES,
    dtypes: Sequence[str] = FLOATS,
    tol: float | Mapping[str, float] | None = None,
    seed: int = 0,
) -> None:
    """Check an op, one of the library's or one declared with `tl.defop`, on every sample of its calls.

    For a good sample, in each dtype:

    - shapes and dtypes of outputs and residuals are those of the shape rule; the value is the reference's, and where there are a kernel
      and a decomposition, the decomposition's;
    - the eager tape and the compiled program give the same bits, forward and backward, and so do one thread and two;
    - the two rules are each other's transposes, <J t, g> = <t, J' g>, and dual numbers give the tangent of the `jvp`;
    - where the sample is smooth, `check_grads`, in float64.

    For a bad sample: the error that it names is raised, its message names the op and the shapes, and the tape is as it was.

    Args:
        op: the record or its name.
        samples: `Sample`s, or tuples of arrays; by default those that the op was declared with.
        reference: `reference(*arrays, **options)` on NumPy arrays gives the value; by default the library's definition, which for an op
            with `decompose` alone is that.
        order, modes: as for `check_grads`; the transposes need both modes.
        dtypes: "float32", "float64" or both.
        tol: how far off a value may be, relative to the largest, or a mapping of dtypes to that; by default 2e-5 in float32 and 1e-10 in
            float64.
        seed: of the arrays and directions.

    Raises: AssertionError where something disagrees; OptionError where there is no sample.
    """
    record = get(op)
    given = list(samples) if samples is not None else list(record.samples() if record.samples else ())
    if not given:
        raise OptionError(f"check_op: {record.name} has no samples; pass some")
    tolerances = tol if isinstance(tol, Mapping) else _TOLERANCE if not tol else dict.fromkeys(_TOLERANCE, tol)
    for number, one in enumerate(given):
        sample = one if isinstance(one, Sample) else Sample(tuple(one if isinstance(one, tuple | list) else (one,)))
        rng = np.random.default_rng((seed, number))
        arrays = [_drawn(a, rng) for a in sample.args]
        if not record.variadic:
            arrays += [None] * (len(record.inputs) - len(arrays))
        # A literal array of a float input may be written in integers.
        integer = (*record.integer, *(["seed"] if record.random else []))
        whole = [n.partition("[")[0] in integer for n in record.input_names(len(arrays))]
        arrays = [
            a.astype(np.float64) if a is not None and not w and a.dtype.kind in "iu" else a for a, w in zip(arrays, whole, strict=True)
        ]
        label = f"{record.name}, sample {number} ({_described(record, arrays, sample.options)})"
        if sample.raises:
            _check_raises(record, arrays, sample, label)
            continue
        calls = [_Call(record, arrays, whole, sample.options, dtype, tolerances[dtype], f"{label}, {dtype}", rng) for dtype in dtypes]
        for call in calls:
            _check_values(call, reference)
            _check_bits(call)
        if not record.differentiable or not any(call.floats for call in calls):
            continue
        if sample.smooth and record.out_dtype == "float":
            try:
                check_grads(calls[0].program, calls[0].points, order, modes, tol=1e-7, seed=seed)
            except AssertionError as error:
                raise AssertionError(f"check_op: {label}: {error}") from None
        if set(modes) == set(_MODES):
            for call in calls:
                _check_transposes(call)


class _Call:
    """A call of an op in one dtype: its arrays, its plan, and the program of its floating-point inputs."""

    def __init__(
        self, record: OpDef, arrays: list[Any], whole: list[bool], options: dict[str, Any], dtype: str, tol: float, label: str, rng: Any
    ) -> None:
        self.record, self.options, self.dtype, self.tol, self.label = record, options, dtype, tol, f"check_op: {label}"
        self.tensors = [None if a is None else as_tensor(a, dtype if a.dtype.kind == "f" else None) for a in arrays]
        #: Which inputs are variables, and these, before they were rounded to the dtype.
        self.moves = [t is not None and not w for t, w in zip(self.tensors, whole, strict=True)]
        self.points = [a for a, moves in zip(arrays, self.moves, strict=True) if moves]
        self.floats: list[Any] = [t for t, moves in zip(self.tensors, self.moves, strict=True) if moves]
        self.specs = tuple(None if t is None else Spec(t.shape, t.dtype) for t in self.tensors)
        self.clean, outs = record.infer(self.specs, options)
        self.outs = [(o.shape, o.resolved(dtype).dtype) for o in outs]
        graph = Graph(dtype)
        refs = [graph.arg(s) for s in self.specs]
        graph.outputs = list(graph._record(record, [None if r is None else r.id for r in refs], options))
        self.plan = lower(graph)
        self.values = self.forward()
        self.ys = self.values[: len(record.outputs)]
        self.directions, self.cotangents = self._random(self.floats, rng), self._random(self.ys, rng)

    def _random(self, tensors: Sequence[Any], rng: Any) -> list[Any]:
        return [as_tensor(rng.standard_normal(t.shape), self.dtype) if t.dtype == self.dtype else None for t in tensors]

    def forward(self) -> list[Any]:
        """Outputs and residuals, by the op's plan."""
        return list(run(self.plan, self.tensors, self.outs))

    def program(self, ops: Any, *xs: Any) -> list[Any]:
        """The op as a program of its variables."""
        return self.apply(ops, xs, ops.const)

    def apply(self, ops: Any, xs: Iterable[Any], constant: Callable[[Any], Any]) -> list[Any]:
        """The outputs on any backend, for these references in place of the variables."""
        given = iter(xs)
        # All else is passed as references, which keep their dtype: positions are int32, while raw integers would become int64.
        pairs = zip(self.tensors, self.moves, strict=True)
        y = ops.apply(self.record, tuple(next(given) if moves else None if t is None else constant(t) for t, moves in pairs), self.options)
        return list(y) if isinstance(y, tuple) else [y]


def _check_values(call: _Call, reference: Callable[..., Any] | None) -> None:
    arrays = [None if t is None else t.numpy() for t in call.tensors]
    if reference is not None:
        expected = reference(*arrays, **call.options)
    else:
        expected = Reference(call.dtype if call.record.random else "float64").apply(call.record, tuple(arrays), call.options)
    for value, e in zip(call.ys, expected if isinstance(expected, tuple) else (expected,), strict=True):
        exact = np.asarray(getattr(e, "value", e))
        if value.shape != exact.shape:
            raise AssertionError(f"{call.label}: the shape rule says {value.shape}, the reference has {exact.shape}")
        _compare(value.numpy(), exact, call.tol, 0.0, f"{call.label}: the value", "the reference")
    for value, out in zip(call.values, call.outs, strict=True):
        if (value.shape, value.dtype) != out:
            raise AssertionError(f"{call.label}: the shape rule says {out}, an output or residual has {(value.shape, value.dtype)}")
    if call.record.rules.decompose is not None and kernel_address(call.record, call.dtype):
        graph = decomposition(call.record, call.specs, call.clean, call.dtype)
        for value, part in zip(call.ys, run(lower(graph), call.tensors, call.outs[: len(call.ys)]), strict=True):
            _compare(value.numpy(), part.numpy(), call.tol, 0.0, f"{call.label}: the kernel's value", "the decomposition")


def _check_bits(call: _Call) -> None:
    # An op of several outputs has no place on a tape.
    single = len(call.ys) == 1
    backward = single and bool(call.floats) and call.cotangents[0] is not None
    if single:
        ops = EagerOps(call.dtype)
        leaves = [ops.add_leaf(t, True) for t in call.floats]
        (y,) = call.apply(ops, leaves, lambda t: ops.add_leaf(t, False) if t.dtype == "int32" else t)
        _same_bits([y.value], call.ys, f"{call.label}: the values of the eager tape and of the plan")
    if backward:
        again, pull = vjp(call.program, *call.floats)
        _same_bits(again, call.ys, f"{call.label}: the values of the compiled program and of the plan")
        pulled = pull(call.cotangents)
        found = ops.store.backward(y.id, call.cotangents[0])
        for k, (r, compiled) in enumerate(zip(leaves, pulled, strict=True)):
            eager = found[r.id] if found[r.id] is not None else as_tensor(np.zeros(r.shape), call.dtype)
            _same_bits([compiled], [eager], f"{call.label}: the gradients by input {k}, compiled and eager,")
    before = get_num_threads()
    try:
        set_num_threads(2 if before == 1 else 1)
        _same_bits(call.forward(), call.values, f"{call.label}: the values on one thread and two")
        if backward:
            _same_bits(pull(call.cotangents), pulled, f"{call.label}: the gradients on one thread and two")
    finally:
        set_num_threads(before)


def _check_transposes(call: _Call) -> None:
    if all(g is None for g in call.cotangents):
        return
    moved = jvp(call.program, tuple(call.floats), tuple(call.directions))[1]
    pulled = vjp(call.program, *call.floats)[1](call.cotangents)
    left, right = _inner(moved, call.cotangents), _inner(pulled, call.directions)
    size = sum(float(np.abs(_array(x).astype(np.float64)).sum()) for x in (*moved, *pulled)) + 1.0
    if (np.isfinite(left) or np.isfinite(right)) and not abs(left - right) <= 10 * call.tol * size:
        raise AssertionError(f"{call.label}: the rules are each other's transposes: <J t, g> = {left:.10g}, but <t, J' g> = {right:.10g}")
    if call.dtype == "float64" and len(call.ys) == 1:
        inner = EagerOps(call.dtype)
        ops = Dual(inner)
        duals = [ops.lift(inner.add_leaf(x, False), inner.add_leaf(t, False)) for x, t in zip(call.floats, call.directions, strict=True)]
        ys = call.apply(ops, duals, lambda t: ops.lift(inner.add_leaf(t, False)))
        _same_bits([y.primal.value for y in ys], call.ys, f"{call.label}: the values of dual numbers and of the plan")
        for y, m in zip(ys, moved, strict=True):
            tangent = np.zeros(y.shape) if y.tangent is None else y.tangent.numpy()
            _compare(tangent, _array(m), 0.1 * call.tol, 0.0, f"{call.label}: the tangent of dual numbers", "the jvp")


def _check_raises(record: OpDef, arrays: list[Any], sample: Sample, label: str) -> None:
    wanted = getattr(errors, sample.raises or "")
    ops = EagerOps("float64")
    names = record.input_names(len(arrays))
    refs = [a if a is None or n in record.integer else ops.leaf(a) for a, n in zip(arrays, names, strict=True)]
    size = len(ops.store)
    try:
        ops.apply(record, tuple(refs), sample.options)
    except wanted as error:
        for part in (record.name.lstrip("_"), *(str(a.shape) for a in arrays if a is not None)):
            if part not in str(error):
                raise AssertionError(f"check_op: {label}: the {sample.raises} does not say {part}: {error}") from None
    except Exception as error:
        raise AssertionError(f"check_op: {label}: expected {sample.raises}, got {type(error).__name__}: {error}") from error
    else:
        raise AssertionError(f"check_op: {label}: expected {sample.raises}, but the call worked")
    if len(ops.store) != size:
        raise AssertionError(f"check_op: {label}: the tape has grown by {len(ops.store) - size} nodes although the call failed")


# Comparing ------------------------------------------------------------------------------------------------------------------


def _array(x: Any) -> np.ndarray:
    return np.asarray(x.numpy() if hasattr(x, "numpy") else x)


def _largest(x: np.ndarray) -> float:
    finite = np.abs(x[np.isfinite(x)])
    return float(finite.max(initial=0.0))


def _inner(xs: Sequence[Any], ys: Sequence[Any]) -> float:
    pairs = [(_array(x), _array(y)) for x, y in zip(xs, ys, strict=True) if x is not None and y is not None]
    return float(sum(np.sum(x * y, dtype=np.longdouble) for x, y in pairs))


def _norm(xs: Sequence[Any]) -> float:
    return float(np.sqrt(sum(np.sum(np.square(x)) for x in xs if x is not None)))


def _compare(found: np.ndarray, expected: np.ndarray, tol: float, noise: float, what: str, other: str) -> None:
    if found.size == 0:
        return
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    scale = max(_largest(found), _largest(expected))
    off = np.abs(found - expected)
    # NaN agrees with NaN, an infinity with itself.
    off = np.where((found == expected) | (np.isnan(found) & np.isnan(expected)), 0.0, np.where(np.isnan(off), np.inf, off))
    at = np.unravel_index(int(np.argmax(off)), off.shape)
    if off[at] > tol * scale + noise:
        place = f"element {tuple(map(int, at))} of {found.shape}" if found.ndim else "it"
        raise AssertionError(
            f"{what}: {place} is {found[at]:.10g}, {other} says {expected[at]:.10g} "
            f"(off by {off[at]:.3g}, allowed {tol * scale + noise:.3g})"
        )


def _same_bits(xs: Sequence[Any], ys: Sequence[Any], what: str) -> None:
    for x, y in zip(xs, ys, strict=True):
        a, b = _array(x), _array(y)
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            raise AssertionError(f"{what} are {a.shape} {a.dtype} and {b.shape} {b.dtype}; they must be the same")
        if a.tobytes() != b.tobytes():
            off = np.nanmax(np.abs(a.astype(np.float64) - b.astype(np.float64)), initial=0.0)
            raise AssertionError(f"{what} differ by up to {off:.3g}; they must have the same bits")


def _described(record: OpDef, arrays: list[Any], options: dict[str, Any]) -> str:
    parts = [f"{n}: {None if a is None else a.shape}" for n, a in zip(record.input_names(len(arrays)), arrays, strict=True)]
    return ", ".join(parts + [f"{k}={v!r}" for k, v in options.items()])


def _drawn(declared: Any, rng: np.random.Generator) -> np.ndarray | None:
    # An array argument of a sample: an `Arr`, a shape for a normal array, an array itself, or None.
    if declared is None or isinstance(declared, np.ndarray):
        return declared
    if isinstance(declared, AnyTensor):
        return declared.numpy()
    if isinstance(declared, float | int):
        return np.asarray(declared)
    arr = declared if isinstance(declared, Arr) else Arr(tuple(declared))
    n = int(np.prod(arr.shape))
    match arr.kind:
        case "values":
            return np.asarray(arr.data).reshape(arr.shape)
        case "int" | "int32":
            return rng.integers(arr.low, arr.high, arr.shape, dtype=np.int32 if arr.kind == "int32" else np.int64)
        case "bool":
            return np.asarray(arr.data, dtype=bool) if arr.data is not None else rng.random(arr.shape) < 0.6
        case "positive":
            return rng.uniform(0.5, 2.5, arr.shape)
        case "unit":
            return rng.uniform(-0.9, 0.9, arr.shape)
        case "away":
            return rng.uniform(0.3, 2.0, arr.shape) * rng.choice([-1.0, 1.0], arr.shape)
        case "distinct":
            return (rng.permutation(n).reshape(arr.shape) - n / 2) * 0.1
        case "normal":
            return rng.standard_normal(arr.shape)
        case _:
            raise OptionError(f"check_op: there is no kind of array named {arr.kind!r}")
