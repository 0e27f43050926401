"""Functional differentiation: transformations of programs `f(ops, *xs)`, of any order.

A transformation is a function on graphs: it records f, then appends the reverse or the forward sweep. Called on arrays it compiles the
whole (once per structure, shapes and dtype) and runs it; called with a backend first, `g(ops, *xs)`, it records into that program,
so transformations nest. References of the enclosing program that f uses are constants inside and stay differentiable outside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tlean._core.refs import RefBase

from . import tree
from .backends.capture import is_backend, trace_into
from .backends.derive import forward, reverse
from .backends.executable import FixedStream
from .backends.graph import Graph, GraphRef
from .backends.jit import Compiled
from .errors import DTypeError, OptionError, ShapeError


class Transformed:
    """A program made from another: `g(*xs)` runs it, `g(ops, *xs)` records it (as does any call with references of a program)."""

    def __init__(self, name: str, record: Callable[..., Any], backend: str) -> None:
        if backend not in ("compiled", "eager"):
            raise OptionError(f"{name}: backend is 'compiled' or 'eager', got {backend!r}")
        self.__name__ = name
        self._record = record
        self._compiled = Compiled(record)
        self._eager = backend == "eager"

    def __call__(self, *args: Any) -> Any:
        known = self._compiled.known_arrays(args)
        if known is not None:
            return self._compiled.call_known(known, args)
        if args and is_backend(args[0]):
            return trace_into(args[0], self._record, args[1:])
        # References among the arguments say which program this belongs to, where no backend is given.
        for x in tree.flatten(args)[0]:
            if isinstance(x, RefBase):
                return trace_into(x.ops, self._record, args)
        return self._compiled(*args, keep=not self._eager)

    def __repr__(self) -> str:
        return f"<{self.__name__} of a program>"


def _variables(graph: Graph, xs: Any) -> Any:
    # Each argument under an identity of its own, so that a reference f finds elsewhere stays a constant of this differentiation.
    return tree.map(lambda r: graph.variable(r) if isinstance(r, GraphRef) and r.dtype.startswith("float") else r, xs)


def _scalar(name: str, graph: Graph, y: Any) -> GraphRef:
    if not isinstance(y, RefBase):
        raise OptionError(f"{name}: the program returns a reference, got {type(y).__name__}")
    (y,) = _results(graph, [y])
    if y.shape != ():
        raise ShapeError(f"{name}: the program returns a scalar, got shape {tuple(y.shape)}")
    return y


def _results(graph: Graph, leaves: Sequence[Any]) -> list[GraphRef]:
    # What a program returned as references of the graph: also numbers, and references of the enclosing program that it only hands on.
    return [graph.ref(r) for r in leaves]  # type: ignore[misc]


def _zero_like(graph: Graph, r: Any) -> Any:
    return graph._full(shape=tuple(r.shape), value=0.0)


def _pull(graph: Graph, ys: Sequence[GraphRef], gs: Sequence[GraphRef], xs: Any, nodes: Any = None) -> Any:
    # Cotangents in the structure of xs: an explicit zero where nothing arrives, None for integers.
    leaves, structure = tree.flatten(xs)
    wrt = [r if isinstance(r, GraphRef) and r.dtype.startswith("float") else None for r in leaves]
    found = reverse(graph, list(zip(ys, gs, strict=True)), wrt, nodes)
    filled = [None if w is None else (g if g is not None else _zero_like(graph, w)) for g, w in zip(found, wrt, strict=True)]
    return tree.unflatten(structure, filled)


def _argnums(argnums: Any) -> tuple[int, ...]:
    return (argnums,) if isinstance(argnums, int) else tuple(argnums)


def _select(name: str, args: Sequence[Any], argnums: Any) -> tuple[int, ...]:
    picked = _argnums(argnums)
    for k in picked:
        if not -len(args) <= k < len(args):
            raise OptionError(f"{name}: argnums names argument {k}, the program has {len(args)}")
    return tuple(k % len(args) for k in picked)


def value_and_grad(f: Callable[..., Any], argnums: Any = 0, has_aux: bool = False, backend: str = "compiled") -> Transformed:
    """The value and the gradient of a scalar program.

    Args:
        f: `f(ops, *xs)` returns a scalar, or `(scalar, aux)` with `has_aux`.
        argnums: which arguments to differentiate by: an int (the gradient has that argument's structure) or several (a tuple).
        has_aux: whether f returns something beside the scalar.
        backend: "compiled" keeps the program; "eager" traces it at every call.

    Returns: a program with the result `(value, gradient)`, or `((value, aux), gradient)`.
    """

    def record(graph: Graph, *args: Any) -> Any:
        picked = _select("value_and_grad", args, argnums)
        own = list(args)
        for k in picked:
            own[k] = _variables(graph, args[k])
        result = f(graph, *own)
        y, aux = result if has_aux else (result, None)
        y = _scalar("value_and_grad", graph, y)
        grads = tuple(_pull(graph, [y], [graph._full(shape=(), value=1.0)], tuple(own[k] for k in picked)))
        value = (y, aux) if has_aux else y
        return value, grads[0] if isinstance(argnums, int) else grads

    return Transformed("value_and_grad", record, backend)


def grad(f: Callable[..., Any], argnums: Any = 0, has_aux: bool = False, backend: str = "compiled") -> Transformed:
    """The gradient of a scalar program; see `value_and_grad`. With `has_aux` the result is `(gradient, aux)`."""
    inner = value_and_grad(f, argnums, has_aux, backend)

    def record(graph: Graph, *args: Any) -> Any:
        value, g = inner._record(graph, *args)
        return (g, value[1]) if has_aux else g

    return Transformed("grad", record, backend)


def vjp(f: Callable[..., Any], *xs: Any, backend: str = "compiled") -> tuple[Any, Callable[..., Any]]:
    """The value of a program and its pull-back.

    Returns: `(y, pull)`; `pull(g)` gives a tuple with a cotangent for each argument, in input order.
    Raises: ShapeError if g has not the structure and shapes of y.
    """

    def record(graph: Graph, g: Any, *args: Any) -> Any:
        own = tuple(_variables(graph, a) for a in args)
        found, structure = tree.flatten(f(graph, *own))
        gs, given = tree.flatten(g)
        ys = _results(graph, found)
        if structure != given or any(a.shape != b.shape for a, b in zip(ys, gs, strict=True)):
            raise ShapeError(f"vjp: the cotangent has the output's shapes {[r.shape for r in ys]}, got {[r.shape for r in gs]}")
        return _pull(graph, ys, gs, own)

    run = Transformed("vjp", lambda graph, *args: f(graph, *args), backend)
    back = Transformed("pull", record, backend)
    # The cotangents belong to the very value that was returned, so random numbers are drawn alike in each run.
    run._compiled.stream = back._compiled.stream = FixedStream()
    return run(*xs), lambda g: back(g, *xs)


def jvp(f: Callable[..., Any], xs: Sequence[Any], dxs: Sequence[Any], backend: str = "compiled") -> tuple[Any, Any]:
    """The value of a program at `xs` and its derivative in the direction `dxs` (None = that argument is held fixed)."""
    return Transformed("jvp", _jvp_record(f), backend)(tuple(xs), tuple(dxs))


def _jvp_record(f: Callable[..., Any]) -> Callable[..., Any]:
    def record(graph: Graph, xs: Any, dxs: Any) -> Any:
        if len(xs) != len(dxs):
            raise ShapeError(f"jvp: one direction for each of the {len(xs)} arguments, got {len(dxs)}")
        own = tuple(_variables(graph, x) for x in xs)
        seeds = []
        for x, dx in zip(own, dxs, strict=True):
            if dx is None:
                continue
            (points, structure), (moves, given) = tree.flatten(x), tree.flatten(dx)
            if structure != given:
                raise ShapeError(f"jvp: a direction has its argument's structure {structure}, got {given}")
            for a, b in zip(points, moves, strict=True):
                if not a.dtype.startswith("float"):
                    raise DTypeError("jvp: an argument that holds no floating-point numbers has no direction; pass None")
                if a.shape != b.shape:
                    raise ShapeError(f"jvp: a direction has its argument's shape {a.shape}, got {b.shape}")
                seeds.append((a, b))
        found, structure = tree.flatten(f(graph, *own))
        ys = _results(graph, found)
        ts = forward(graph, seeds, ys)
        filled = [_zero_like(graph, y) if t is None else t for y, t in zip(ys, ts, strict=True)]
        return tree.unflatten(structure, ys), tree.unflatten(structure, filled)

    return record


def hvp(f: Callable[..., Any], xs: Any, vs: Any, backend: str = "compiled") -> Any:
    """The Hessian of a scalar program times a vector, forward over reverse.

    A call traces and compiles f. For many products make the call part of a program that is kept:
    `product = tl.jit(lambda ops, x, v: tl.hvp(f, (x,), (v,))[0])`. The same holds for `jvp` and `vjp`.

    Args:
        xs: the arguments, a tuple.
        vs: a direction for each argument; None holds that argument fixed (its entry of the result is None).

    Returns: a tuple aligned with `xs`.
    Source: Pearlmutter 1994, "Fast exact multiplication by the Hessian".
    """
    xs, vs = tuple(xs), tuple(vs)
    if len(xs) != len(vs):
        raise ShapeError(f"hvp: one direction for each of the {len(xs)} arguments, got {len(vs)}")
    held = tuple(v is None for v in vs)
    free = tuple(k for k, h in enumerate(held) if not h)

    def record(graph: Graph, xs: Any, vs: Any) -> Any:
        def gradient(ops: Graph, *moved: Any) -> Any:
            full = list(xs)
            for k, x in zip(free, moved, strict=True):
                full[k] = x
            return value_and_grad(f, free)._record(ops, *full)[1]

        return _jvp_record(gradient)(graph, tuple(xs[k] for k in free), tuple(v for v in vs if v is not None))[1]

    found = iter(Transformed("hvp", record, backend)(xs, tuple(v for v in vs if v is not None)))
    return tuple(None if h else next(found) for h in held)


hvp_inputs = hvp


def hvp_params(loss: Callable[..., Any], params: Sequence[Any], inputs: Sequence[Any], v: Sequence[Any], backend: str = "compiled") -> Any:
    """The Hessian of `loss(ops, *params, *inputs)` in the parameters, times `v` (one direction per parameter)."""
    params, inputs, v = tuple(params), tuple(inputs), tuple(v)
    if len(params) != len(v):
        raise ShapeError(f"hvp_params: one direction for each of the {len(params)} parameters, got {len(v)}")
    return hvp(loss, (*params, *inputs), (*v, *[None] * len(inputs)), backend)[: len(params)]


def jacrev(f: Callable[..., Any], argnums: int = 0, backend: str = "compiled") -> Transformed:
    """The Jacobian of a program in one argument, by reverse mode: shape y.shape + x.shape. One reverse sweep per element of y."""

    def record(graph: Graph, *args: Any) -> Any:
        (k,) = _select("jacrev", args, argnums)
        own = list(args)
        own[k] = _variables(graph, args[k])
        y, x = f(graph, *own), own[k]
        _one_array("jacrev", y, x)
        nodes = graph.needed([y.id])
        rows = [_pull(graph, [y], [_basis(graph, y, i)], x, nodes) for i in range(_size(y))]
        return (
            graph.reshape(graph.stack(rows, axis=0), (*y.shape, *x.shape)) if rows else graph._full(shape=(*y.shape, *x.shape), value=0.0)
        )

    return Transformed("jacrev", record, backend)


def jacfwd(f: Callable[..., Any], argnums: int = 0, backend: str = "compiled") -> Transformed:
    """The Jacobian of a program in one argument, by forward mode: shape y.shape + x.shape. One forward sweep per element of x."""

    def record(graph: Graph, *args: Any) -> Any:
        (k,) = _select("jacfwd", args, argnums)
        own = list(args)
        own[k] = _variables(graph, args[k])
        y, x = f(graph, *own), own[k]
        _one_array("jacfwd", y, x)
        columns, nodes = [], graph.needed([y.id])
        for i in range(_size(x)):
            t = forward(graph, [(x, _basis(graph, x, i))], [y], nodes)[0]
            columns.append(_zero_like(graph, y) if t is None else t)
        if not columns:
            return graph._full(shape=(*y.shape, *x.shape), value=0.0)
        stacked = graph.reshape(graph.stack(columns, axis=0), (len(columns), _size(y)))
        return graph.reshape(graph.transpose2d(stacked), (*y.shape, *x.shape))

    return Transformed("jacfwd", record, backend)


def hessian(f: Callable[..., Any], argnums: int = 0, backend: str = "compiled") -> Transformed:
    """The Hessian of a scalar program in one argument, forward over reverse: shape x.shape + x.shape."""
    inner = jacfwd(lambda ops, *args: grad(f, argnums)._record(ops, *args), argnums)
    return Transformed("hessian", inner._record, backend)


hessian1 = hessian


def _one_array(name: str, *refs: Any) -> None:
    if not all(isinstance(r, GraphRef) for r in refs):
        raise OptionError(f"{name}: the argument and the result are single arrays")


def _size(r: GraphRef) -> int:
    return r.spec.size


def _basis(graph: Graph, like: GraphRef, i: int) -> GraphRef:
    import numpy as np

    e = np.zeros(_size(like))
    e[i] = 1.0
    return graph.const(e.reshape(like.shape))
