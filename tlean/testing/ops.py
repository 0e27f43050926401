"""`check_op`: an op against its definition, on every backend, and its derivatives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tlean import errors
from tlean._core.array import AnyTensor, as_tensor
from tlean._core.plan.plan import run
from tlean._core.threads import get_num_threads, set_num_threads
from tlean.autodiff import jvp, vjp
from tlean.compiler.cpu import kernel_address
from tlean.compiler.derive import decomposition
from tlean.compiler.graph import Graph
from tlean.compiler.lower import lower
from tlean.custom import CustomOp
from tlean.dtypes import FLOATS
from tlean.errors import OptionError
from tlean.interpreters.dual import Dual
from tlean.interpreters.eager import EagerOps
from tlean.ops import OpDef, Spec, get
from tlean.ops.samples import Arr, Sample
from tlean.reference.interpreter import Reference

from .compare import compare, inner_product, numbers_of, same_bits
from .grads import MODES, check_grads

#: Relative tolerances of values, in units of the largest: kernels sum in another order than a reference.
_TOLERANCE = {"float32": 2e-5, "float64": 1e-10}


def check_op(
    op: OpDef | CustomOp | str,
    samples: Iterable[Any] | None = None,
    *,
    reference: Callable[..., Any] | None = None,
    order: int = 2,
    modes: Sequence[str] = MODES,
    dtypes: Sequence[str] = FLOATS,
    tol: float | Mapping[str, float] | None = None,
    seed: int = 0,
) -> None:
    """Check an op, one of the library's or one declared with `tl.defop` or `tl.custom_op`, on every sample of its calls.

    For a good sample, in each dtype:

    - shapes and dtypes of outputs and residuals are those of the shape rule; the value is the reference's, and where there are a kernel
      and a decomposition, the decomposition's;
    - the eager tape and the compiled program give the same bits, forward and backward, and so do one thread and two;
    - the two rules are each other's transposes, <J t, g> = <t, J' g>, and dual numbers give the tangent of the `jvp`;
    - where the sample is smooth, `check_grads`, in float64.

    For a bad sample: the error that it names is raised, its message names the op and the shapes, and the tape is as it was.

    Args:
        op: the record or its name, or a custom op: of that the derivatives that it has.
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
    if isinstance(op, CustomOp):
        _check_custom(op, list(samples or ()), reference, order, modes, dtypes=dtypes, tol=tol, seed=seed)
        return
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
        integer = (*record.whole_inputs, *(["seed"] if record.random else []))
        names = record.input_names(len(arrays))
        whole = [n.partition("[")[0] in integer or (a is not None and a.dtype == bool) for n, a in zip(names, arrays, strict=True)]
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
        if set(modes) == set(MODES):
            for call in calls:
                _check_transposes(call)


def _check_custom(
    op: CustomOp, samples: Sequence[Any], reference: Callable[..., Any] | None, order: int, modes: Sequence[str], **options: Any
) -> None:
    if not samples:
        raise OptionError(f"check_op: {op.name} has no samples; pass some")
    own = [m for m in modes if m != "fwd" or op.jvp is not None]
    for sample in samples:
        args = sample.args if isinstance(sample, Sample) else sample if isinstance(sample, tuple | list) else (sample,)
        arrays = [_drawn(a, np.random.default_rng(0)) for a in args]
        kinds = ["float64" if a.dtype.kind == "f" else "bool" if a.dtype.kind == "b" else "int64" for a in arrays]  # type: ignore[union-attr]
        specs = tuple([(a.shape, k) for a, k in zip(arrays, kinds, strict=True)])  # type: ignore[union-attr]
        kept = sample.options if isinstance(sample, Sample) else {}
        record = op._record_for(specs, [a.astype(k) for a, k in zip(arrays, kinds, strict=True)], kept)  # type: ignore[union-attr]
        plain = Sample(tuple(arrays))
        check_op(
            record,
            [plain],
            reference=reference or functools.partial(op.forward, **kept),
            order=order if op.programs else 1,
            modes=own,
            **options,
        )


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
        self.clean, outs = record.infer(self.specs, options, dtype)
        self.outs = [(o.shape, o.dtype) for o in outs]
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
        compare(value.numpy(), exact, call.tol, 0.0, f"{call.label}: the value", "the reference")
    for value, out in zip(call.values, call.outs, strict=True):
        if (value.shape, value.dtype) != out:
            raise AssertionError(f"{call.label}: the shape rule says {out}, an output or residual has {(value.shape, value.dtype)}")
    if call.record.rules.decompose is not None and kernel_address(call.record, call.dtype):
        graph = decomposition(call.record, call.specs, call.clean, call.dtype)
        for value, part in zip(call.ys, run(lower(graph), call.tensors, call.outs[: len(call.ys)]), strict=True):
            compare(value.numpy(), part.numpy(), call.tol, 0.0, f"{call.label}: the kernel's value", "the decomposition")


def _check_bits(call: _Call) -> None:
    # An op of several outputs has no place on a tape.
    single = len(call.ys) == 1
    backward = single and bool(call.floats) and call.cotangents[0] is not None
    if single:
        ops = EagerOps(call.dtype)
        leaves = [ops.add_leaf(t, True) for t in call.floats]
        (y,) = call.apply(ops, leaves, lambda t: ops.add_leaf(t, False) if t.dtype == "int32" else t)
        same_bits([y.value], call.ys, f"{call.label}: the values of the eager tape and of the plan")
    if backward:
        again, pull = vjp(call.program, *call.floats)
        same_bits(again, call.ys, f"{call.label}: the values of the compiled program and of the plan")
        pulled = pull(call.cotangents)
        found = ops.store.backward(y.id, call.cotangents[0])
        for k, (r, compiled) in enumerate(zip(leaves, pulled, strict=True)):
            eager = found[r.id] if found[r.id] is not None else as_tensor(np.zeros(r.shape), call.dtype)
            same_bits([compiled], [eager], f"{call.label}: the gradients by input {k}, compiled and eager,")
    before = get_num_threads()
    try:
        set_num_threads(2 if before == 1 else 1)
        same_bits(call.forward(), call.values, f"{call.label}: the values on one thread and two")
        if backward:
            same_bits(pull(call.cotangents), pulled, f"{call.label}: the gradients on one thread and two")
    finally:
        set_num_threads(before)


def _check_transposes(call: _Call) -> None:
    if all(g is None for g in call.cotangents):
        return
    moved = jvp(call.program, tuple(call.floats), tuple(call.directions))[1]
    pulled = vjp(call.program, *call.floats)[1](call.cotangents)
    left, right = inner_product(moved, call.cotangents), inner_product(pulled, call.directions)
    size = sum(float(np.abs(numbers_of(x).astype(np.float64)).sum()) for x in (*moved, *pulled)) + 1.0
    if (np.isfinite(left) or np.isfinite(right)) and not abs(left - right) <= 10 * call.tol * size:
        raise AssertionError(f"{call.label}: the rules are each other's transposes: <J t, g> = {left:.10g}, but <t, J' g> = {right:.10g}")
    if call.dtype == "float64" and len(call.ys) == 1:
        inner = EagerOps(call.dtype)
        ops = Dual(inner)
        duals = [ops.lift(inner.add_leaf(x, False), inner.add_leaf(t, False)) for x, t in zip(call.floats, call.directions, strict=True)]
        ys = call.apply(ops, duals, lambda t: ops.lift(inner.add_leaf(t, False)))
        same_bits([y.primal.value for y in ys], call.ys, f"{call.label}: the values of dual numbers and of the plan")
        for y, m in zip(ys, moved, strict=True):
            tangent = np.zeros(y.shape) if y.tangent is None else y.tangent.numpy()
            compare(tangent, numbers_of(m), 0.1 * call.tol, 0.0, f"{call.label}: the tangent of dual numbers", "the jvp")


def _check_raises(record: OpDef, arrays: list[Any], sample: Sample, label: str) -> None:
    wanted = getattr(errors, sample.raises or "")
    ops = EagerOps("float64")
    names = record.input_names(len(arrays))
    refs = [a if a is None or n in record.whole_inputs else ops.leaf(a) for a, n in zip(arrays, names, strict=True)]
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
        case "above":
            return rng.uniform(1.25, 3.0, arr.shape)
        case "fraction":
            return rng.uniform(0.05, 0.95, arr.shape)
        case "away":
            return rng.uniform(0.3, 2.0, arr.shape) * rng.choice([-1.0, 1.0], arr.shape)
        case "distinct":
            return (rng.permutation(n).reshape(arr.shape) - n / 2) * 0.1
        case "normal":
            return rng.standard_normal(arr.shape)
        case "definite" | "regular" | "triangular" | "tall" | "wide":
            return _matrices(arr, rng)
        case _:
            raise OptionError(f"check_op: there is no kind of array named {arr.kind!r}")


def _matrices(arr: Arr, rng: np.random.Generator) -> np.ndarray:
    # Well-conditioned matrices of numbers of few bits.
    n = min(arr.shape[-2:])
    x = rng.uniform(-1.0, 1.0, arr.shape) / max(n, 1)
    if arr.kind == "definite":
        x = x + np.swapaxes(x, -1, -2) + np.diag(rng.uniform(2.5, 4.0, n))
    elif arr.kind in ("tall", "wide"):
        x[..., :n, :n] += np.diag(np.arange(1.0, n + 1.0) * 1.5)
    elif arr.kind == "regular":
        x = x + np.roll(np.diag(rng.uniform(1.5, 3.0, n) * rng.choice([-1.0, 1.0], n)), 1, axis=0)
    else:
        x = x + np.diag(rng.uniform(1.0, 2.0, n) * rng.choice([-1.0, 1.0], n))
    return np.asarray(np.round(x * 16) / 16)
