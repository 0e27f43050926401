"""Whole matrices of derivatives, row by row or column by column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tlean._core.array import as_tensor
from tlean.compiler.derive import forward, pulled_back, with_zeros
from tlean.compiler.graph import Graph, GraphRef
from tlean.dtypes import FLOATS
from tlean.errors import DTypeError, OptionError
from tlean.ops.layout import converted
from tlean.programs.recorder import Recorder

from .derived import DerivedProgram, checked_argnums, is_one, selected, variables
from .products import gradient_record


def jacrev(f: Callable[..., Any], argnums: Any = 0, backend: str = "compiled", seed: int | None = None) -> DerivedProgram:
    """The Jacobian of a program, by reverse mode: shape y.shape + x.shape. One reverse sweep per element of y.

    Args:
        f, backend, seed: as for `value_and_grad`; f returns one array, of any shape.
        argnums: which argument to differentiate by: an int, or a tuple of ints for a tuple of Jacobians.
    """
    return _jacobian(jacrev, _rows, f, argnums, backend, seed)


def jacfwd(f: Callable[..., Any], argnums: Any = 0, backend: str = "compiled", seed: int | None = None) -> DerivedProgram:
    """The Jacobian of a program, by forward mode: shape y.shape + x.shape. One forward sweep per element of x.

    Args:
        f, backend, seed: as for `value_and_grad`; f returns one array, of any shape.
        argnums: which argument to differentiate by: an int, or a tuple of ints for a tuple of Jacobians.
    """
    return _jacobian(jacfwd, lambda graph, y, xs: _columns(graph, [y], xs)[0], f, argnums, backend, seed)


def _jacobian(
    made_by: Callable[..., Any], derive: Callable[..., list[GraphRef]], f: Callable[..., Any], argnums: Any, backend: str, seed: int | None
) -> DerivedProgram:
    name = made_by.__name__
    recorder = Recorder(name, f)
    checked_argnums(name, argnums)

    def record(graph: Graph, *args: Any, **keywords: Any) -> Any:
        own, xs = _moved(name, graph, args, argnums)
        y = recorder(graph, *own, **keywords)
        _one_array(name, y)
        blocks = derive(graph, y, xs)
        return blocks[0] if is_one(argnums) else tuple(blocks)

    return DerivedProgram(name, record, backend, recorder, seed, (made_by, (f, argnums, backend, seed)))


def hessian(f: Callable[..., Any], argnums: Any = 0, backend: str = "compiled", seed: int | None = None) -> DerivedProgram:
    """The Hessian of a scalar program, forward over reverse: shape x.shape + x.shape.

    Args:
        f, backend, seed: as for `value_and_grad`.
        argnums: an int, or a tuple of ints for the blocks: entry [i][j] is the derivative by argument j of the gradient in argument i.
    """
    recorder = Recorder("hessian", f)
    gradients = gradient_record(recorder, checked_argnums("hessian", argnums))

    def record(graph: Graph, *args: Any, **keywords: Any) -> Any:
        own, xs = _moved("hessian", graph, args, argnums)
        blocks = _columns(graph, gradients(graph, *own, **keywords)[1], xs)
        return blocks[0][0] if is_one(argnums) else tuple(tuple(row) for row in blocks)

    return DerivedProgram("hessian", record, backend, recorder, seed, (hessian, (f, argnums, backend, seed)))


hessian1 = hessian


def _moved(name: str, graph: Graph, args: Sequence[Any], argnums: Any) -> tuple[list[Any], list[GraphRef]]:
    # The arguments, those to differentiate by as variables, and these alone.
    picked = selected(name, args, argnums)
    own = list(args)
    for k in picked:
        _one_array(name, args[k])
        if not args[k].dtype.startswith("float"):
            raise DTypeError(f"{name}: argument {k} holds no floating-point numbers, got {args[k].dtype}")
        own[k] = variables(graph, args[k])
    return own, [own[k] for k in picked]


def _rows(graph: Graph, y: GraphRef, xs: Sequence[GraphRef]) -> list[GraphRef]:
    # The Jacobian of y by every x, in reverse.
    nodes = graph._needed([y.id])
    rows = [pulled_back(graph, [y], [_basis(graph, y, i)], tuple(xs), nodes) for i in range(_size(y))]
    blocks = []
    for k, x in enumerate(xs):
        shape = (*y.shape, *x.shape)
        stacked = graph.stack([r[k] for r in rows], axis=0) if rows else None
        blocks.append(graph._full(shape=shape, value=0.0, dtype=x.dtype) if stacked is None else graph.reshape(stacked, shape))
    return blocks


def _columns(graph: Graph, ys: Sequence[GraphRef], xs: Sequence[GraphRef]) -> list[list[GraphRef]]:
    # The Jacobian of every y by every x, forward.
    nodes = graph._needed([y.id for y in ys])
    found: list[list[Any]] = [[] for _ in ys]
    for x in xs:
        columns = [forward(graph, [(x, _basis(graph, x, i))], ys, nodes) for i in range(_size(x))]
        for k, y in enumerate(ys):
            shape = (*y.shape, *x.shape)
            if not columns:
                found[k].append(graph._full(shape=shape, value=0.0, dtype=y.dtype if y.dtype in FLOATS else None))
                continue
            column = with_zeros(graph, [c[k] for c in columns], [y] * len(columns))
            stacked = graph.stack(column, axis=0)  # type: ignore[arg-type]
            found[k].append(graph.reshape(graph.transpose2d(graph.reshape(stacked, (len(columns), _size(y)))), shape))
    return found


def _one_array(name: str, r: Any) -> None:
    if not isinstance(r, GraphRef):
        raise OptionError(f"{name}: the argument and the result must be single arrays, got {type(r).__name__}")


def _size(r: GraphRef) -> int:
    return r.spec.size


def _basis(graph: Graph, like: GraphRef, i: int) -> GraphRef:
    e = np.zeros(_size(like))
    e[i] = 1.0
    return converted(graph, graph.const(as_tensor(e.reshape(like.shape))), like.dtype)
