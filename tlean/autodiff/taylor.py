"""Taylor mode: derivatives of any order along a curve, in one sweep.

Every value is a power series in t, whose coefficients are made when they are asked for. If x(t) runs through an op h, then y = h(x) has the
derivative J(x, y) x', which the op's JVP computes: so the coefficients of y follow from those of that program, one order lower. Where the
program names y itself, or an op whose JVP names it again (sin and cos), the series refer to each other, which gives the known recurrences,
at a cost of the order's square. Where the JVP does not depend on x the op is linear, and maps each coefficient by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tlean import tree
from tlean._core.eager.instance import options_key
from tlean.compiler.derive import jvp_graph
from tlean.compiler.graph import Graph, GraphRef
from tlean.compiler.loops.bodies import or_zeros
from tlean.dtypes import FLOATS
from tlean.errors import DTypeError, OptionError, ShapeError
from tlean.ops import OpDef, Spec, get
from tlean.ops.layout import converted
from tlean.programs.recorder import Recorder

from ..arguments.literals import Backend
from .derived import DerivedProgram, results_of, variables

#: Products of their first two inputs: the Cauchy product.
_PRODUCTS = frozenset(("mul", "matmul", "bmm"))
_MOST_MEANT = 64


def jet(
    f: Callable[..., Any], x: Any, series: Sequence[Any], backend: Backend = "compiled", seed: int | None = None, **keywords: Any
) -> tuple[Any, list[Any]]:
    """The value of a program along a curve x(t), and its derivatives by t at t = 0, to any order, in one sweep.

    k nested calls of `jvp` compute the same, at a cost that doubles with each.

    Args:
        f: a program.
        x: its argument at t = 0, or a tuple of its arguments.
        series: the derivatives of x(t) by t: the first, the second, …, each like x. For a tuple of arguments a tuple of such lists, of one
            length; None for an argument that is held fixed.
        backend, seed: as for `value_and_grad`.
        keywords: keyword arguments of f.

    Returns: the value, and the list of its derivatives by t, each like the value.
    Raises: ShapeError, DTypeError for a series that does not fit; OptionError for something that is no series.
    Source: Bettencourt, Johnson & Duvenaud 2019, "Taylor-mode automatic differentiation for higher-order derivatives in JAX".

    Example:
        >>> y, ys = tl.jet(tl.sin, np.array(0.0), [np.array(1.0), np.array(0.0), np.array(0.0)])
        >>> y.item(), [d.item() for d in ys]
        (0.0, [1.0, 0.0, -1.0])
    """
    recorder = Recorder("jet", f)
    xs, terms = (x, series) if isinstance(x, tuple) else ((x,), (series,))
    if not isinstance(terms, tuple | list) or len(terms) != len(xs):
        raise OptionError(f"jet: series must have an entry for each of the {len(xs)} arguments, got {terms!r:.{_MOST_MEANT}}")
    for one in terms:
        if one is not None and not isinstance(one, tuple | list):
            raise OptionError(f"jet: a series must be a list of derivatives, or None, got {type(one).__name__}")
    orders = {len(one) for one in terms if one is not None}
    if len(orders) > 1:
        raise ShapeError(f"jet: the series must have one length, got {' and '.join(map(str, sorted(orders)))}")
    order = max(orders, default=0)

    def record(graph: Graph, xs: Any, terms: Any, **named: Any) -> Any:
        own = tuple(variables(graph, a) for a in xs)
        taylor = _Taylor(graph)
        for a, one in zip(own, terms, strict=True):
            if one is not None:
                _start(taylor, a, one)
        found, structure = tree.flatten(recorder(graph, *own, **named))
        ys = results_of(graph, found)
        made = taylor.run(ys)
        rows = [[_derivative(graph, s, y, k) for s, y in zip(made, ys, strict=True)] for k in range(1, order + 1)]
        return tree.unflatten(structure, ys), [tree.unflatten(structure, row) for row in rows]

    given = tuple(None if one is None else list(one) for one in terms)
    return DerivedProgram("jet", record, backend, seed=seed)(xs, given, **keywords)  # type: ignore[no-any-return]


def _start(taylor: _Taylor, x: Any, series: Sequence[Any]) -> None:
    points, structure = tree.flatten(x)
    terms = []
    for one in series:
        leaves, got = tree.flatten(one)
        if got != structure:
            shown = tree.describe(structure)
            raise ShapeError(f"jet: a derivative of the curve must have its argument's structure {shown}, got {tree.describe(got)}")
        terms.append(leaves)
    for k, point in enumerate(points):
        if point.dtype not in FLOATS:
            raise DTypeError(f"jet: an argument must hold floating-point numbers, or its series must be None, got {point.dtype}")
        known: list[GraphRef | None] = [point]
        for j, leaves in enumerate(terms, 1):
            if leaves[k].dtype not in FLOATS or leaves[k].shape != point.shape:
                got = f"{leaves[k].shape} {leaves[k].dtype}"
                raise ShapeError(f"jet: a derivative of the curve must be like its argument, {point.shape} {point.dtype}, got {got}")
            known.append(taylor.scaled(converted(taylor.graph, leaves[k], point.dtype), 1.0 / math.factorial(j)))
        taylor.values[point.id] = _Series(known, lambda k: None)


def _derivative(graph: Graph, series: _Series, y: GraphRef, order: int) -> GraphRef:
    spec = y.spec if y.dtype in FLOATS else Spec(y.shape, graph.dtype)
    term = series[order]
    return or_zeros(graph, None, spec) if term is None else graph.scale(term, float(math.factorial(order)))  # type: ignore[return-value]


class _Series:
    # Taylor coefficients of a value; None for an exact zero.
    __slots__ = ("_known", "_later", "slope")

    def __init__(self, known: list[GraphRef | None], later: Callable[[int], GraphRef | None] | None = None) -> None:
        self._known, self._later = known, later
        #: The series of its derivative, once it was asked for.
        self.slope: _Series | None = None

    @property
    def moves(self) -> bool:
        return self._later is not None

    @property
    def value(self) -> GraphRef:
        return self._known[0]  # type: ignore[return-value]

    def __getitem__(self, k: int) -> GraphRef | None:
        if self._later is None:
            return self._known[k] if k == 0 else None
        while len(self._known) <= k:
            self._known.append(self._later(len(self._known)))
        return self._known[k]


class _Taylor:
    # The series of a graph's values.
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values: dict[int, _Series] = {}
        self._calls: dict[Any, list[_Series]] = {}

    def run(self, outputs: Sequence[GraphRef]) -> list[_Series]:
        for node in self.graph._needed([y.id for y in outputs]):
            inputs = [None if i is None else self._of(i) for i in node.inputs]
            if any(s is not None and s.moves for s in inputs):
                made = self._applied(node.record, inputs, node.options, node.outputs)
                self.values.update(zip(node.outputs, made, strict=True))
        return [self._of(y.id) for y in outputs]

    def _of(self, value: int) -> _Series:
        if value not in self.values:
            self.values[value] = _Series([GraphRef(self.graph, value)])
        return self.values[value]

    def _applied(
        self, record: OpDef, inputs: Sequence[_Series | None], options: dict[str, Any], outputs: Sequence[int] | None = None
    ) -> list[_Series]:
        # The series of a call's outputs; the same call on the same series is made once, so that series can refer to each other.
        key = (record.name, tuple(map(id, inputs)), options_key(options))
        made = self._calls.get(key)
        if made is None:
            if outputs is None:
                outputs = self.graph._record(record, [None if s is None else s.value.id for s in inputs], options, None, True)
            made = [_Series([GraphRef(self.graph, v)]) for v in outputs]
            self._calls[key] = made
            if record.differentiable and any(s is not None and s.moves for s in inputs):
                floats = [k for k in range(len(record.outputs)) if self.graph.specs[outputs[k]].dtype in FLOATS]
                for k, later in zip(floats, self._rules(record, inputs, options, made, floats), strict=True):
                    made[k]._later = later
        return made

    def _rules(
        self, record: OpDef, inputs: Sequence[_Series | None], options: dict[str, Any], ys: Sequence[_Series], floats: Sequence[int]
    ) -> list[Callable[[int], GraphRef | None]]:
        moving = tuple([s is not None and s.moves for s in inputs])
        specs = [None if s is None else s.value.spec for s in inputs]
        if record.name in _PRODUCTS and all(moving) and not record.dtypes_at(specs, options, self.graph.dtype).converted:
            return [lambda k: self._product(record, inputs, options, k)]
        graph, n = self.graph, len(record.outputs)
        known = [*(y.value for y in ys[:n]), *(None if s is None else s.value for s in inputs)]
        rule = jvp_graph(record, specs, options, graph.dtype, moving)
        read = {i for node in rule.nodes for i in node.inputs} | set(rule.outputs)
        moved = [
            *rule.inputs[len(inputs) : len(inputs) + n],
            *(v for v, m in zip(rule.inputs[len(inputs) + n :], moving, strict=True) if m),
        ]
        if not read.intersection(v for v in moved if v is not None):
            terms: dict[int, list[GraphRef | None]] = {}

            def linear(j: int, k: int) -> GraphRef | None:
                if k not in terms:
                    ts = [s[k] if s is not None else None for s in inputs]
                    present = tuple([t is not None for t in ts])
                    own = jvp_graph(record, specs, options, graph.dtype, present)
                    terms[k] = graph._inline(own, [*ts, *known]) if any(present) else [None] * n
                return terms[k][j]

            return [lambda k, j=j: linear(j, k) for j in floats]  # type: ignore[misc]
        slopes: list[_Series | None] = []

        def integral(j: int, k: int) -> GraphRef | None:
            if not slopes:
                ts = [self._slope(s) if s is not None and m else None for s, m in zip(inputs, moving, strict=True)]
                slopes[:] = self._program(rule, [*ts, *ys[:n], *inputs])
            slope = slopes[j]
            term = None if slope is None else slope[k - 1]
            return None if term is None else self.scaled(term, 1.0 / k)

        return [lambda k, j=j: integral(j, k) for j in floats]  # type: ignore[misc]

    def _product(self, record: OpDef, inputs: Sequence[_Series | None], options: dict[str, Any], k: int) -> GraphRef | None:
        a, b = inputs
        assert a is not None and b is not None
        total = None
        for j in range(k + 1):
            x, y = a[j], b[k - j]
            if x is not None and y is not None:
                (term,) = self.graph._record(record, [x.id, y.id], options, None, True)
                total = self._sum(total, GraphRef(self.graph, term))
        return total

    def _slope(self, series: _Series) -> _Series:
        # The series of the derivative by t.
        if series.slope is None:

            def later(k: int) -> GraphRef | None:
                term = series[k + 1]
                return None if term is None else self.scaled(term, float(k + 1))

            first = or_zeros(self.graph, series[1], series.value.spec)
            series.slope = _Series([first], later)
        return series.slope

    def _program(self, rule: Graph, inputs: Sequence[_Series | None]) -> list[_Series | None]:
        graph = self.graph
        where: dict[int | None, _Series | None] = {None: None}
        where.update({v: s for v, s in zip(rule.inputs, inputs, strict=True) if v is not None})
        for v, constant in rule.constants.items():
            ref = graph._constant(constant) if constant.dtype in FLOATS and constant.dtype != graph.dtype else graph.const(constant)
            where[v] = _Series([ref])
        for node in rule.nodes:
            where.update(zip(node.outputs, self._applied(node.record, [where[i] for i in node.inputs], node.options), strict=True))
        return [where[v] for v in rule.outputs]

    def _sum(self, a: GraphRef | None, b: GraphRef) -> GraphRef:
        return b if a is None else GraphRef(self.graph, self.graph._record(get("add"), [a.id, b.id], {}, None, True)[0])

    def scaled(self, x: GraphRef, c: float) -> GraphRef:
        return x if c == 1.0 else GraphRef(self.graph, self.graph._record(get("scale"), [x.id], {"c": c}, None, True)[0])
