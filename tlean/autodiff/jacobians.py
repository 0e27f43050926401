"""Whole matrices of derivatives: all rows, or all columns, in one batched sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tlean import tree
from tlean.compiler.batch import batch
from tlean.compiler.derive import forward, reverse
from tlean.compiler.graph import Graph, GraphRef
from tlean.dtypes import FLOATS
from tlean.errors import DTypeError, OptionError
from tlean.ops import Spec
from tlean.ops.registry import whole
from tlean.programs.recorder import Recorder

from ..arguments.literals import Backend
from .derived import DerivedProgram, checked_argnums, is_one, results_of, selected, variables
from .products import gradient_record, with_aux

_Blocks = list[list[GraphRef]]


def jacrev(
    f: Callable[..., Any],
    argnums: Any = 0,
    backend: Backend = "compiled",
    seed: int | None = None,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> DerivedProgram:
    """The Jacobian of a program, by reverse mode: shape y.shape + x.shape. One reverse sweep for all elements of y.

    It is the better choice where y has fewer elements than x.

    Args:
        f, backend, seed: as for `value_and_grad`; f returns an array of any shape, or a tree of them.
        argnums: which argument to differentiate by: an int, or a tuple of ints for a tuple of Jacobians. An argument may be a tree. Where
            the result or an argument is one, so is the Jacobian: for each array of the result a tree like the argument's.
        has_aux: whether f returns (result, aux); then the Jacobian is returned as (Jacobian, aux).
        chunk_size: how many rows are computed at once, None for all of them: fewer take less memory.

    Example:
        >>> tl.jacrev(lambda x: x * x)(np.array([1.0, 2.0])).tolist()
        [[2.0, 0.0], [0.0, 4.0]]
    """
    return _jacobian(jacrev, _rows, f, argnums, backend, seed, has_aux, chunk_size)


def jacfwd(
    f: Callable[..., Any],
    argnums: Any = 0,
    backend: Backend = "compiled",
    seed: int | None = None,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> DerivedProgram:
    """The Jacobian of a program, by forward mode: shape y.shape + x.shape. One forward sweep for all elements of x.

    It is the better choice where x has no more elements than y.

    Args:
        f, backend, seed: as for `value_and_grad`; f returns an array of any shape, or a tree of them.
        argnums, has_aux: as for `jacrev`.
        chunk_size: how many columns are computed at once, None for all of them.

    Example:
        >>> tl.jacfwd(lambda x: tl.stack([x[0] * x[1], x[0] ** 2]))(np.array([2.0, 3.0])).tolist()
        [[3.0, 2.0], [4.0, 0.0]]
    """
    return _jacobian(jacfwd, _columns, f, argnums, backend, seed, has_aux, chunk_size)


def _jacobian(
    made_by: Callable[..., Any],
    derive: Callable[..., _Blocks],
    f: Callable[..., Any],
    argnums: Any,
    backend: str,
    seed: int | None,
    has_aux: bool,
    chunk_size: int | None,
) -> DerivedProgram:
    name = made_by.__name__
    recorder = Recorder(name, f)
    checked_argnums(name, argnums)
    chunk = _checked_chunk(name, chunk_size)

    def record(graph: Graph, *args: Any, **keywords: Any) -> Any:
        own, xs, inner = moved(name, graph, args, argnums)
        y, aux = with_aux(name, recorder(graph, *own, **keywords), has_aux, "result")
        found, outer = tree.flatten(y)
        blocks = derive(graph, results_of(graph, found), xs, chunk)
        made = tree.unflatten(outer, [tree.dual(tree.unflatten(inner, row)) for row in blocks])
        return (made, aux) if has_aux else made

    return DerivedProgram(name, record, backend, recorder, seed, (made_by, (f, argnums, backend, seed, has_aux, chunk_size)))


def hessian(
    f: Callable[..., Any],
    argnums: Any = 0,
    backend: Backend = "compiled",
    seed: int | None = None,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> DerivedProgram:
    """The Hessian of a scalar program, forward over reverse: shape x.shape + x.shape. One sweep for all its columns.

    Args:
        f, backend, seed, has_aux: as for `value_and_grad`; with `has_aux` the result is (Hessian, aux).
        argnums: an int, or a tuple of ints for the blocks: entry [i][j] is the derivative by argument j of the gradient in argument i.
            Where an argument is a tree, so are the blocks.
        chunk_size: how many columns are computed at once, None for all of them.

    Example:
        >>> tl.hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 3.0])).tolist()
        [[6.0, 2.0], [2.0, 0.0]]
    """
    recorder = Recorder("hessian", f)
    gradients = gradient_record(recorder, checked_argnums("hessian", argnums), has_aux, by_leaf=True)
    chunk = _checked_chunk("hessian", chunk_size)

    def record(graph: Graph, *args: Any, **keywords: Any) -> Any:
        own, xs, inner = moved("hessian", graph, args, argnums)
        value, found = gradients(graph, *own, **keywords)
        rows = _columns(graph, tree.flatten(found)[0], xs, chunk)
        made = tree.unflatten(inner, [tree.unflatten(inner, row) for row in rows])
        return (made, value[1]) if has_aux else made

    return DerivedProgram("hessian", record, backend, recorder, seed, (hessian, (f, argnums, backend, seed, has_aux, chunk_size)))


hessian1 = hessian


def _checked_chunk(name: str, chunk_size: int | None) -> int | None:
    if chunk_size is None:
        return None
    chunk = whole(f"{name}: chunk_size", chunk_size)
    if chunk < 1:
        raise OptionError(f"{name}: chunk_size must be at least 1, got {chunk}")
    return chunk


def moved(name: str, graph: Graph, args: Sequence[Any], argnums: Any) -> tuple[list[Any], list[GraphRef], tree.Structure]:
    """The arguments, those to differentiate by as variables; the arrays among these, and their structure. Raises: DTypeError."""
    picked = selected(name, args, argnums)
    own = list(args)
    for k in picked:
        for x in tree.flatten(args[k])[0]:
            if not x.dtype.startswith("float"):
                raise DTypeError(f"{name}: argument {k} holds no floating-point numbers, got {x.dtype}")
        own[k] = variables(graph, args[k])
    xs, structure = tree.flatten(own[picked[0]] if is_one(argnums) else tuple(own[k] for k in picked))
    return own, xs, structure


def _rows(graph: Graph, ys: Sequence[GraphRef], xs: Sequence[GraphRef], chunk: int | None) -> _Blocks:
    # The Jacobian of every y by every x, in reverse.
    blocks = []
    for y in ys:
        stacked = _swept(graph, graph, y, partial(_pulled, y, xs), chunk)
        blocks.append(
            [
                _zeros(graph, (*y.shape, *x.shape), x.dtype) if s is None else graph.reshape(s, (*y.shape, *x.shape))
                for s, x in zip(stacked or [None] * len(xs), xs, strict=True)
            ]
        )
    return blocks


def _columns(graph: Graph, ys: Sequence[GraphRef], xs: Sequence[GraphRef], chunk: int | None) -> _Blocks:
    # The same, forward, in a copy: a sweep may put value and tangent of a loop into one node, and then both differ between lanes.
    blocks: _Blocks = [[] for _ in ys]
    for x in xs:
        stacked = _swept(graph, graph._copy(), x, partial(_pushed, x, ys), chunk)
        for row, y, s in zip(blocks, ys, stacked or [None] * len(ys), strict=True):
            shape = (*y.shape, *x.shape)
            if s is None:
                row.append(_zeros(graph, shape, y.dtype if y.dtype in FLOATS else graph.dtype))
                continue
            row.append(graph.reshape(graph.transpose2d(graph.reshape(s, (x.spec.size, y.spec.size))), shape))
    return blocks


def _pulled(y: GraphRef, xs: Sequence[GraphRef], graph: Graph, g: GraphRef) -> list[GraphRef | None]:
    return reverse(graph, [(y, g)], xs, graph._needed([y.id]))


def _pushed(x: GraphRef, ys: Sequence[GraphRef], graph: Graph, t: GraphRef) -> list[GraphRef | None]:
    return forward(graph, [(GraphRef(graph, x.id), t)], [GraphRef(graph, y.id) for y in ys])


def _swept(
    graph: Graph, source: Graph, like: GraphRef, sweep: Callable[[Graph, GraphRef], list[GraphRef | None]], chunk: int | None
) -> list[GraphRef | None] | None:
    # What a sweep in `source` makes of each unit array of that shape, stacked; None where that is zero, or there is no such array.
    n = like.spec.size
    if not n or like.dtype not in FLOATS:
        return None
    if n == 1 and source is graph:
        found = sweep(graph, graph._full(shape=like.shape, value=1.0, dtype=like.dtype))
        return [None if r is None else graph.reshape(r, (1, *r.shape)) for r in found]
    first = len(graph.specs)
    unit = source._value(Spec(like.shape, like.dtype))
    found = sweep(source, unit)
    kept = [r for r in found if r is not None]
    parts = []
    for k in range(0, n, chunk or n):
        size = min(chunk or n, n - k)
        basis = graph.reshape(graph._eye(rows=size, columns=n, offset=k, dtype=like.dtype), (size, *like.shape))
        made = batch(graph, {unit.id: basis}, size, kept, first, source)
        parts.append([r if own else graph.broadcast_to(r, (size, *r.shape)) for r, own in made])
    rows = iter([columns[0] if len(columns) == 1 else graph.concat(list(columns), axis=0) for columns in zip(*parts, strict=True)])
    return [None if r is None else next(rows) for r in found]


def _zeros(graph: Graph, shape: tuple[int, ...], dtype: str) -> GraphRef:
    return graph._full(shape=shape, value=0.0, dtype=dtype)
