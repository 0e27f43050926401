"""How far two computations of a program may be apart that round each of its ops in their own way.

The bound is a running error bound, by the program's graph. The rule is: where two computations of an op take the same operands, their
results may be apart by two units in the last place of what the op makes, or of the sum of the absolute values that it adds up. What this
comes to in an output y is, to first order, the sum over every element e of every op's result on the way of |dy/de| times its two units:
the differences go on with the derivative, and add up in the worst case. One sweep backward over a tape of the whole program has dy/de for
all of them at once (Linnainmaa, 1976), so the bound knows every path, with the true magnitudes on it, and no more.

The graph is taken apart to the library's primitive ops, and loops to their steps, on a tape in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import tlean as tl
from tlean.compiler.graph import Graph, replay
from tlean.compiler.passes.expand import with_kernels
from tlean.compiler.signature import Signature
from tlean.compiler.target import Target
from tlean.interop.c_code.residuals import with_residuals
from tlean.ops import OpDef, get

#: Units in the last place that an op's results may be apart.
UNITS = 2.0
#: Ops that add up: their terms' magnitudes are those of the op on absolute values.
_SUMS = frozenset(
    """sum mean reduce_sum reduce_mean cumsum _reverse_cumsum matmul bmm conv conv2d conv_transpose conv_transpose2d _conv_grad_x
    _conv_grad_w _windows_adjoint _avg_pool_grad scatter_add_vec scatter_add_row _scatter_rows""".split()  # noqa: SIM905
)
#: Functions that are sums of series, or of terms that a recurrence adds: near their zeros these are larger than the result.
_SERIES = frozenset("lgamma digamma polygamma _gammainc _gammaincinv _betainc _betaincinv _student _student_inverse".split())  # noqa: SIM905
_PRODUCTS = frozenset(("prod", "cumprod", "_running_product", "_recurrence"))
#: What is no rounding: these move elements, or give others their sign.
_EXACT = frozenset(
    """neg abs max min where relu floor ceil trunc round sign reshape flatten permute transpose2d broadcast_to concat stack slice
    slice_range0 pad take gather_scalar gather_row detach reduce_max _take_at _place_at _full _max_index tril triu _place _identity
    sort""".split()  # noqa: SIM905
)


class Parts(Target):
    """A target that has the primitive ops alone, so that what an op computes inside is seen."""

    title = "parts"

    def has_kernel(self, record: OpDef, dtype: str) -> bool:
        return record.loop is not None or record.rules.decompose is None

    def parts(self, call: Signature) -> Graph | None:
        return with_residuals(call)


PARTS = Parts()


class Running:
    """A face that runs programs on a tape in float64, and knows of each op's result what it may be apart.

    Args:
        dtype: that of the two computations.
        deep: whether each level of a sum of n numbers, of which there are log2(n), is an op, and each factor of a product; and whether a
            convolution's tiles, which are computed by way of other numbers, are as exact as their largest element.
    """

    def __init__(self, dtype: str, deep: bool = False) -> None:
        self.session = tl.Session(tl.Options(dtype="float64"))
        self.dtype, self.deep = np.dtype(dtype).type, deep
        self._apart: dict[int, np.ndarray] = {}

    def _own_constant(self, value: Any) -> Any:
        array = np.asarray(value.numpy())
        return self.leaf(array)

    def leaf(self, array: np.ndarray) -> Any:
        """An argument: exact."""
        return self.session.input(array.astype(np.float64)) if array.dtype.kind == "f" else self.session._own_constant(array)

    def apply(self, op: Any, inputs: Sequence[Any], options: dict[str, Any], name: str | None = None) -> Any:
        """An op, a loop step by step, or an optimiser's update by its formula."""
        record = get(op) if isinstance(op, str) else op
        if record.loop is not None:
            made = record.loop.decompose(self, *inputs)
            return made[0] if isinstance(made, tuple) and len(record.outputs) == 1 else made
        if record.rules.decompose is not None:
            return record.rules.decompose(self, *inputs, **options)
        if record.updates:
            return _UPDATES[record.name](self, *inputs)
        if record.name in ("_as_float32", "_as_float64", "detach") and str(getattr(inputs[0], "dtype", "")) == "float64":
            # Differences go on where derivatives do not.
            return inputs[0]
        if record.name == "_full" and str(options.get("dtype", "")).startswith("float"):
            options = {**options, "dtype": "float64"}
        made = self.session.apply(record.name if record.registered else record, inputs, options)
        for ref in made if isinstance(made, tuple) else (made,):
            if str(ref.dtype) == "float64" and record.name not in _EXACT and not record.view:
                self._apart[ref.id] = UNITS * self._units(record, inputs, options, ref)
        return made

    def _units(self, record: OpDef, inputs: Sequence[Any], options: dict[str, Any], ref: Any) -> np.ndarray:
        largest, ops = np.abs(ref.numpy()), 1.0
        if record.name in _SUMS:
            largest = np.maximum(largest, self._of(record, inputs, options, np.abs))
            if self.deep:
                whole = [x.size for x in inputs if str(getattr(x, "dtype", "")) == "float64"]
                ops += np.log2(max(1.0, *self._of(record, inputs, options, np.ones_like).ravel(), max(whole) / max(1, largest.size)))
            if self.deep and "conv" in record.name:
                largest, ops = np.full_like(largest, np.max(largest, initial=0.0)), 2.0 * ops
        elif record.name in _SERIES and self.deep:
            largest, ops = np.maximum(largest, 1.0), 8.0
        elif record.name in _PRODUCTS and self.deep:
            ops = max(1, inputs[0].size / max(1, largest.size) if record.name == "prod" else inputs[0].size)
        return ops * np.spacing(largest.astype(self.dtype)).astype(np.float64)

    def _of(self, record: OpDef, inputs: Sequence[Any], options: dict[str, Any], change: Any) -> np.ndarray:
        # The op of changed numbers.
        with tl.no_grad():
            given = [change(x.numpy()) if str(getattr(x, "dtype", "")) == "float64" else x for x in inputs]
            return self.session.apply(record.name, given, options).numpy()

    def __getattr__(self, name: str) -> Any:
        # An op as a method, as formulas call it.
        if name.startswith("__"):
            raise AttributeError(name)
        record = get(name)
        if record.variadic:
            return lambda xs, **options: self.apply(name, xs, options)
        return lambda *args, **options: self.apply(name, *_sorted(record, args, options))

    def run(self, graph: Graph, inputs: Sequence[Any]) -> list[Any]:
        """The outputs of a program's graph. Raises: LookupError where a derivative reads what a kernel alone keeps for it."""
        try:
            parts = with_kernels(graph, PARTS)
        except KeyError as error:
            raise LookupError(f"residual {error}") from None
        known = {*parts.inputs, *parts.constants, *(v for n in parts.nodes for v in n.outputs[: len(n.record.outputs)])}
        if any(v is not None and v not in known for n in parts.nodes for v in n.inputs):
            raise LookupError("residual")
        return replay(parts, self, inputs)

    def bound(self, y: Any, weights: np.ndarray) -> float:
        """The most that the sum of y's elements times these weights may be apart, beyond its own last rounding."""
        found = self.session.backward_dense_all(y, np.asarray(weights, np.float64).reshape(y.shape))
        total = 0.0
        for number, apart in self._apart.items():
            slope = found[number]
            if slope is not None:
                total += float(np.sum(np.abs(slope.numpy()) * apart))
        return total


def _sorted(record: OpDef, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    # A method's arguments as inputs and options.
    inputs = [*args[: len(record.inputs)]]
    rest = dict(zip(record.options_names, args[len(record.inputs) :], strict=False)) | options
    inputs += [rest.pop(n, None) for n in record.inputs[len(inputs) :]]
    return inputs, rest


def furthest(a: np.ndarray, b: np.ndarray, most: int) -> list[int]:
    """The places of elements that are furthest apart, and of those that are by their own size."""
    gap = np.abs(a.astype(np.float64) - b.astype(np.float64)).ravel()
    own = gap / np.maximum(np.abs(b.astype(np.float64)).ravel(), np.finfo(np.float64).tiny)
    return list(dict.fromkeys(int(k) for order in (gap, own) for k in np.argsort(-order, kind="stable")[:most] if gap[k] > 0))


def share(face: Running, y: Any, made: np.ndarray, expected: np.ndarray, most: int = 4) -> float:
    """How much of its bound the difference of two computations of y is, of the element where it is most; over 1 it is beyond.

    Args:
        face: what y is of.
        y: the output's reference.
        made, expected: the two.
        most: how many elements are looked at, of those furthest apart.
    """
    worst = 0.0
    for k in furthest(made, expected, most):
        one = np.zeros(made.size)
        one[k] = 1.0
        gap = abs(float(made.ravel()[k]) - float(expected.ravel()[k]))
        worst = max(worst, gap / face.bound(y, one)) if np.isfinite(gap) else np.inf
    return worst


# Updates, by the formulas of `tlean/ops/optim.py` ---------------------------------------------------------------------------


def _gradient(ops: Any, p: Any, g: Any, scale: float, decay: float) -> Any:
    e = ops.scale(g, c=scale)
    return ops.add(e, ops.scale(p, c=decay)) if decay else e


def _sgd(ops: Any, p: Any, g: Any, hyper: Any) -> Any:
    lr, scale, decay = hyper
    return ops.sub(p, ops.scale(_gradient(ops, p, g, scale, decay), c=lr))


def _momentum(ops: Any, p: Any, g: Any, u: Any, hyper: Any) -> Any:
    lr, scale, decay, mu, dampening, nesterov, step = hyper
    e = _gradient(ops, p, g, scale, decay)
    u1 = ops.add(ops.scale(u, c=mu), ops.scale(e, c=1.0 if step == 1 else 1.0 - dampening))
    return ops.sub(p, ops.scale(ops.add(e, ops.scale(u1, c=mu)) if nesterov else u1, c=lr)), u1


def _adam(ops: Any, p: Any, g: Any, u: Any, w: Any, hyper: Any) -> Any:
    lr, scale, decay, b1, b2, eps, step, apart = hyper
    e = _gradient(ops, p, g, scale, 0.0 if apart else decay)
    u1 = ops.add(u, ops.scale(ops.sub(e, u), c=1.0 - b1))
    w1 = ops.add(ops.scale(w, c=b2), ops.mul(ops.scale(e, c=1.0 - b2), e))
    root = ops.shift(ops.scale(ops.sqrt(w1), c=1.0 / np.sqrt(1.0 - b2**step)), c=eps)
    left = ops.scale(p, c=1.0 - lr * decay) if apart else p
    return ops.sub(left, ops.div(ops.scale(u1, c=lr / (1.0 - b1**step)), root)), u1, w1


_UPDATES = {"_sgd_step": _sgd, "_momentum_step": _momentum, "_adam_step": _adam}
