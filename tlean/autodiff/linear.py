"""A program's value at a point, and the linear map that is its derivative there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tlean import tree
from tlean.compiler.batch import batch
from tlean.compiler.derive import forward, with_zeros
from tlean.compiler.graph import Graph, GraphRef
from tlean.dtypes import FLOATS
from tlean.errors import DTypeError, OptionError, ShapeError
from tlean.programs.recorder import Recorder

from ..arguments.literals import Backend
from .derived import DerivedProgram, results_of, variables
from .products import directions


def linearize(
    f: Callable[..., Any], *xs: Any, backend: Backend = "compiled", seed: int | None = None, **keywords: Any
) -> tuple[Any, LinearMap]:
    """The value of a program and its derivative as a linear map.

    The program runs once: what the derivative needs of it is kept, and each call of the map computes what depends on the direction alone.

    Args:
        f: a program.
        xs: its arguments.
        backend, seed: as for `value_and_grad`.
        keywords: its keyword arguments.

    Returns: `(y, push)`; `push(*dxs)` takes a direction for each argument, of its structure and shapes, None for one that is held fixed,
        and gives the derivative of y.
    Raises: ShapeError, DTypeError when `push` is called with directions that do not fit.

    Example:
        >>> y, push = tl.linearize(lambda x: x**3, np.array([1.0, 2.0]))
        >>> push(np.array([1.0, 0.0])).tolist(), push(np.array([0.0, 1.0])).tolist()
        ([3.0, 0.0], [0.0, 12.0])
    """
    recorder = Recorder("linearize", f)
    made: list[Any] = []

    def value(graph: Graph, *args: Any, **named: Any) -> Any:
        own = tuple(variables(graph, a) for a in args)
        found, structure = tree.flatten(recorder(graph, *own, **named))
        ys = results_of(graph, found)
        linear, known = _linear_part(graph, [r for r in tree.flatten(own)[0] if r.dtype in FLOATS], ys)
        made[:] = [linear, structure, [[(r.shape, r.dtype) for r in tree.flatten(a)[0]] for a in own], [tree.flatten(a)[1] for a in own]]
        return tree.unflatten(structure, ys), known

    run = DerivedProgram("linearize", value, backend, seed=seed)
    y, known = run(*xs, **keywords)
    linear, structure, specs, forms = made

    def record(graph: Graph, known: Sequence[Any], *dxs: Any) -> Any:
        ts = []
        for dx, points, form in zip(dxs, specs, forms, strict=True):
            ts += _leaves(graph, dx, points, form)
        return tree.unflatten(structure, graph._inline(linear, [*known, *ts], merge=False))

    return y, LinearMap(DerivedProgram("push", record, backend, program=record), known, len(specs))


class LinearMap:
    """What `linearize` returns beside the value: `push(*dxs)` is the derivative in these directions. It never changes."""

    def __init__(self, push: DerivedProgram, known: Sequence[Any], count: int) -> None:
        self._push, self._known, self._count = push, known, count

    def __call__(self, *dxs: Any) -> Any:
        _, moves = directions("linearize", [None] * self._count, dxs)
        return self._push(list(self._known), *moves)

    def __copy__(self) -> LinearMap:
        return self

    def __deepcopy__(self, memo: Any) -> LinearMap:
        return self

    def __reduce__(self) -> Any:
        raise OptionError("linearize: a linear map cannot be pickled: it belongs to a value that was computed here")

    def __repr__(self) -> str:
        return f"<linear map of {self._count} arguments>"


def _leaves(graph: Graph, dx: Any, points: Sequence[tuple[Any, str]], form: tree.Structure) -> list[GraphRef]:
    # The direction of one argument, array by array.
    if dx is None:
        return [graph._full(shape=shape, value=0.0, dtype=dtype) for shape, dtype in points if dtype in FLOATS]
    moves, given = tree.flatten(dx)
    if given != form:
        raise ShapeError(f"linearize: a direction must have its argument's structure {tree.describe(form)}, got {tree.describe(given)}")
    for move, (shape, dtype) in zip(moves, points, strict=True):
        if dtype not in FLOATS:
            raise DTypeError("linearize: an argument that holds no floating-point numbers has no direction; pass None")
        if move.dtype not in FLOATS:
            raise DTypeError(f"linearize: a direction must hold floating-point numbers, got {move.dtype}")
        if move.shape != shape:
            raise ShapeError(f"linearize: a direction must have its argument's shape {shape}, got {move.shape}")
    return moves


def _linear_part(graph: Graph, points: Sequence[GraphRef], ys: Sequence[GraphRef]) -> tuple[Graph, list[GraphRef]]:
    # What depends on the directions, as a graph of the values that it reads beside them and of the directions; and these values.
    # The sweep is in a copy: it may put value and tangent of a loop into one node, and then both depend on the directions.
    copy, first = graph._copy(), len(graph.specs)
    units = [copy._value(r.spec) for r in points]
    outs = [GraphRef(copy, y.id) for y in ys]
    ts = with_zeros(copy, forward(copy, [(GraphRef(copy, r.id), u) for r, u in zip(points, units, strict=True)], outs), outs)
    needed = copy._needed([r.id for r in ts])
    moving = {r.id for r in units}
    nodes = []
    for node in needed:
        if moving.intersection(i for i in node.inputs if i is not None):
            nodes.append(node)
            moving.update(node.outputs)
    read = [i for n in nodes for i in n.inputs if i is not None] + [r.id for r in ts]
    known = list(dict.fromkeys(i for i in read if i not in moving))
    linear = Graph(graph.dtype, graph.merge)
    where: dict[int | None, int | None] = {None: None}
    for v in [*known, *(r.id for r in units)]:
        where[v] = linear.arg(copy.specs[v]).id  # type: ignore[union-attr]
    for node in nodes:
        where.update(zip(node.outputs, linear._record(node.record, [where[i] for i in node.inputs], node.options, node.name), strict=True))
    linear.outputs = [where[r.id] for r in ts]
    return linear, [r for r, _ in batch(graph, {}, 0, [GraphRef(copy, v) for v in known], first, copy)]
