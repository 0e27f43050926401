"""Sparse Jacobians and Hessians: the pattern from the program, few directions by colouring, the numbers alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tlean._core.array import as_tensor
from tlean._core.refs import RefBase
from tlean.autodiff.derived import DerivedProgram, checked_argnums, is_one, results_of
from tlean.autodiff.jacobians import moved
from tlean.autodiff.products import gradient_record
from tlean.compiler.batch import batch
from tlean.compiler.derive import forward, reverse
from tlean.compiler.graph import Graph, GraphRef
from tlean.dtypes import FLOATS
from tlean.errors import DTypeError, OptionError
from tlean.ops import Spec
from tlean.programs.recorder import Recorder

from ..arguments.literals import Backend
from .matrix import CSR
from .pattern import Pattern
from .reads import Reads


def sparse_jacobian(f: Callable[..., Any], argnums: int = 0, backend: Backend = "compiled", seed: int | None = None) -> DerivedProgram:
    """The Jacobian of a program with few entries: a matrix with a row for each number of the result, a column for each of the argument.

    Which entries may differ from 0 is read off the program. Columns that share no row are computed together, in one direction, forward; or
    rows together, in reverse, where that needs fewer: a tridiagonal Jacobian takes three directions, of any size.

    Args:
        f: a program; its result is an array.
        argnums: the number of the argument to differentiate by, an array.
        backend, seed: as for `value_and_grad`.

    Returns: a program whose result is a `CSR` matrix.
    Raises: OptionError, when called, for trees; DTypeError for arrays that hold no floating-point numbers.
    Source: Curtis, Powell & Reid 1974, "On the estimation of sparse Jacobian matrices".

    Example:
        >>> j = tl.sparse_jacobian(lambda x: x[1:] * x[:-1])(np.array([1.0, 2.0, 3.0]))
        >>> j.data.tolist(), j.indices.tolist(), j.indptr.tolist(), j.shape
        ([2.0, 1.0, 3.0, 2.0], [0, 1, 1, 2], [0, 2, 4], (2, 3))
    """
    recorder = Recorder("sparse_jacobian", f)
    _one("sparse_jacobian", argnums)

    def record(graph: Graph, *args: Any, **keywords: Any) -> Any:
        own, xs, _ = moved("sparse_jacobian", graph, args, argnums)
        y = recorder(graph, *own, **keywords)
        if not isinstance(y, RefBase):
            raise OptionError(f"sparse_jacobian: the program must return an array, got {type(y).__name__}")
        (y,) = results_of(graph, [y])
        if y.dtype not in FLOATS:
            raise DTypeError(f"sparse_jacobian: the program must return floating-point numbers, got {y.dtype}")
        return _matrix("sparse_jacobian", graph, xs, y)

    made_by = (sparse_jacobian, (f, argnums, backend, seed))
    return DerivedProgram("sparse_jacobian", record, backend, recorder, seed, made_by)


def sparse_hessian(f: Callable[..., Any], argnums: int = 0, backend: Backend = "compiled", seed: int | None = None) -> DerivedProgram:
    """The Hessian of a scalar program with few entries, a matrix with a row and a column for each number of the argument.

    Args:
        f, argnums, backend, seed: as for `sparse_jacobian`, of the gradient of f.

    Returns: a program whose result is a `CSR` matrix.

    Example:
        >>> tl.sparse_hessian(lambda x: tl.sum(x[1:] * x[:-1] ** 2))(np.array([1.0, 2.0, 3.0])).todense().tolist()
        [[4.0, 2.0, 0.0], [2.0, 6.0, 4.0], [0.0, 4.0, 0.0]]
    """
    recorder = Recorder("sparse_hessian", f)
    _one("sparse_hessian", argnums)
    gradients = gradient_record(recorder, argnums)

    def record(graph: Graph, *args: Any, **keywords: Any) -> Any:
        own, xs, _ = moved("sparse_hessian", graph, args, argnums)
        _, y = gradients(graph, *own, **keywords)
        return _matrix("sparse_hessian", graph, xs, y)

    return DerivedProgram("sparse_hessian", record, backend, recorder, seed, (sparse_hessian, (f, argnums, backend, seed)))


def _one(name: str, argnums: Any) -> None:
    checked_argnums(name, argnums)
    if not is_one(argnums):
        raise OptionError(f"{name}: argnums must be one int, got {argnums!r}")


def _matrix(name: str, graph: Graph, xs: list[GraphRef], y: Any) -> CSR:
    if len(xs) != 1 or not isinstance(y, GraphRef):
        raise OptionError(f"{name}: the argument must be one array, got a tree of {len(xs)}")
    (x,) = xs
    rows, columns = Reads(graph, x).of(y)
    m, n = y.spec.size, x.spec.size
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=m))]).astype(np.int64)
    data = _entries(graph, x, y, rows, columns)
    return CSR.of(Pattern(columns, indptr, (m, n)), data)


def _entries(graph: Graph, x: GraphRef, y: GraphRef, rows: np.ndarray, columns: np.ndarray) -> GraphRef:
    # The numbers at these places of the Jacobian.
    if not len(rows):
        return graph._full(shape=(0,), value=0.0, dtype=y.dtype)
    by_column, by_row = colours(rows, columns, x.spec.size), colours(columns, rows, y.spec.size)
    ahead = by_column.max() <= by_row.max()
    moves, gives = (x, y) if ahead else (y, x)
    colour = by_column if ahead else by_row
    count = int(colour.max()) + 1
    first, source = len(graph.specs), graph._copy()
    unit = source._value(Spec(moves.shape, moves.dtype))
    point, value = GraphRef(source, x.id), GraphRef(source, y.id)
    (swept,) = forward(source, [(point, unit)], [value]) if ahead else reverse(source, [(value, unit)], [point], source._needed([y.id]))
    if swept is None:
        return graph._full(shape=(len(rows),), value=0.0, dtype=y.dtype)
    directions = np.zeros((count, moves.spec.size), moves.spec.dtype)
    directions[colour, np.arange(moves.spec.size)] = 1.0
    basis = graph._constant(as_tensor(directions.reshape(count, *moves.shape), moves.spec.dtype))
    ((made, own),) = batch(graph, {unit.id: basis}, count, [swept], first, source)
    whole = made if own else graph.broadcast_to(made, (count, *made.shape))
    along, across = (columns, rows) if ahead else (rows, columns)
    places = colour[along] * gives.spec.size + across
    return graph.take(graph.reshape(whole, (-1,)), graph._constant(as_tensor(places.astype(np.int64))), axis=0)


def colours(rows: np.ndarray, columns: np.ndarray, count: int) -> np.ndarray:
    """A colour for each column such that no two of one colour share a row; columns of many entries choose first.

    Args:
        rows, columns: the places of the entries.
        count: how many columns there are.
    """
    order = np.lexsort((rows, columns))
    mine = np.split(rows[order], np.cumsum(np.bincount(columns, minlength=count))[:-1])
    used: list[set[int]] = [set() for _ in range(int(rows.max()) + 1 if len(rows) else 0)]
    made = np.zeros(count, np.int64)
    for c in sorted(range(count), key=lambda c: -len(mine[c])):
        taken = set().union(*(used[r] for r in mine[c])) if len(mine[c]) else set()
        colour = next(k for k in range(len(taken) + 1) if k not in taken)
        made[c] = colour
        for r in mine[c]:
            used[r].add(colour)
    return made
