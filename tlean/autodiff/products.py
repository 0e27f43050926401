"""Gradients and products with derivatives: one sweep forward, one backward, or one of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tlean import tree
from tlean._core.array import AnyTensor, as_input, as_tensor, shared
from tlean._core.refs import RefBase
from tlean.compiler.derive import forward, pulled_back, with_zeros
from tlean.compiler.graph import Graph
from tlean.dtypes import holds_integers
from tlean.errors import DTypeError, OptionError, ShapeError
from tlean.programs.calls import taken_apart
from tlean.programs.captured import Captured
from tlean.programs.compiled import Traced
from tlean.programs.executable import FixedStream
from tlean.programs.inline import is_backend, program_of
from tlean.programs.recorder import Recorder

from ..arguments.literals import Backend
from .derived import (
    DerivedProgram,
    checked_argnums,
    is_one,
    results_of,
    scalar_of,
    selected,
    variables,
)


def value_and_grad(
    f: Callable[..., Any], argnums: Any = 0, has_aux: bool = False, backend: Backend = "compiled", seed: int | None = None
) -> DerivedProgram:
    """The value and the gradient of a scalar program.

    Args:
        f: `f(*xs)`, or `f(ops, *xs)`, returns a scalar, or `(scalar, aux)` with `has_aux`. Keyword arguments of a call go to it.
        argnums: which arguments to differentiate by: an int (the gradient has that argument's structure) or several (a tuple).
        has_aux: whether f returns something beside the scalar.
        backend: "compiled" keeps the program and traces it again when something that it captures has changed (`docs/captured_values.md`);
            "eager" traces it at every call.
        seed: of its stream of random numbers; None for its own stream, which `tl.seed` fixes.

    Returns: a program with the result `(value, gradient)`, or `((value, aux), gradient)`.

    Example:
        >>> value, gradient = tl.value_and_grad(lambda x: tl.sum(x**2))(np.array([1.0, 2.0]))
        >>> value.item(), gradient.tolist()
        (5.0, [2.0, 4.0])
    """
    recorder = Recorder("value_and_grad", f)
    record = gradient_record(recorder, argnums, has_aux)
    return DerivedProgram("value_and_grad", record, backend, recorder, seed, (value_and_grad, (f, argnums, has_aux, backend, seed)))


def with_aux(name: str, y: Any, has_aux: bool, what: str) -> tuple[Any, Any]:
    """What a program returned as (result, aux). Raises: OptionError where it is to be a pair, and is none."""
    if not has_aux:
        return y, None
    if not isinstance(y, tuple | list) or len(y) != 2:
        got = f"{len(y)} results" if isinstance(y, tuple | list) else "a reference" if isinstance(y, RefBase) else type(y).__name__
        raise OptionError(f"{name}: has_aux=True, so the program returns ({what}, aux), got {got}")
    return y[0], y[1]


def gradient_record(recorder: Recorder, argnums: Any, has_aux: bool = False, by_leaf: bool = False) -> Callable[..., Any]:
    """What records value and gradient of a scalar program; the latter as the derivatives by the leaves where `by_leaf`."""
    name = recorder.name
    checked_argnums(name, argnums)
    if not isinstance(has_aux, bool):
        raise OptionError(f"{name}: has_aux must be True or False, got {has_aux!r}")

    def record(graph: Graph, *args: Any, **keywords: Any) -> Any:
        picked = selected(name, args, argnums)
        own = list(args)
        for k in picked:
            own[k] = variables(graph, args[k])
        y, aux = with_aux(name, recorder(graph, *own, **keywords), has_aux, "scalar")
        y = scalar_of(name, graph, y)
        grads = tuple(pulled_back(graph, [y], [graph._full(shape=(), value=1.0, dtype=y.dtype)], tuple(own[k] for k in picked)))
        value = (y, aux) if has_aux else y
        grads = grads if by_leaf else tree.dual(grads)
        return value, grads[0] if is_one(argnums) else grads

    return record


def grad(
    f: Callable[..., Any], argnums: Any = 0, has_aux: bool = False, backend: Backend = "compiled", seed: int | None = None
) -> DerivedProgram:
    """The gradient of a scalar program; see `value_and_grad`. With `has_aux` the result is `(gradient, aux)`.

    Args:
        f, argnums, has_aux, backend, seed: as for `value_and_grad`.

    Example:
        >>> tl.grad(lambda x, a: tl.sum(a * x**3))(np.array([1.0, 2.0]), 2.0).tolist()
        [6.0, 24.0]
    """
    recorder = Recorder("grad", f)
    inner = gradient_record(recorder, argnums, has_aux)

    def record(graph: Graph, *args: Any, **keywords: Any) -> Any:
        value, g = inner(graph, *args, **keywords)
        return (g, value[1]) if has_aux else g

    return DerivedProgram("grad", record, backend, recorder, seed, (grad, (f, argnums, has_aux, backend, seed)))


class _Fixed:
    # A program as it was at its first call: traced then, with the values that its captured arrays had.
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._traced: tuple[Traced, Any, list[AnyTensor | None]] | None = None

    def __call__(self, graph: Graph, *args: Any, **keywords: Any) -> Any:
        leaves, form = taken_apart("vjp", args, keywords)
        if self._traced is None:
            captured = Captured()
            own = Traced(graph.dtype, captured)
            moved, named = form.build([own.arg(k, r.spec) for k, r in enumerate(leaves)])
            made = own.finish(self._recorder(own, *moved, **named))
            held: list[AnyTensor | None] = [as_tensor(t.numpy().copy()) for t in captured.guard.read()]
            # What `vmap` inside has recorded of one example does not run.
            own.prune()
            self._traced = own, made, held + [None] * len(own._seeds)
        own, made, rest = self._traced
        more = [graph.next_seed() if t is None else graph.const(t) for t in rest]  # type: ignore[misc]
        return tree.unflatten(made, graph._inline(own, [*leaves, *more], merge=False))


def vjp(
    f: Callable[..., Any], *xs: Any, backend: Backend = "compiled", seed: int | None = None, **keywords: Any
) -> tuple[Any, Callable[..., Any]]:
    """The value of a program and its pull-back.

    The pull-back is the derivative at the point that gave the value: later changes of the arguments, or of anything that f captures, do not
    reach it.

    Args:
        f: a program.
        xs: its arguments.
        backend, seed: as for `value_and_grad`.
        keywords: its keyword arguments.

    Returns: `(y, pull)`; `pull(g)` gives a tuple with a cotangent for each argument, in input order.
    Raises: ShapeError if g has not the structure and shapes of y.

    Example:
        >>> y, pull = tl.vjp(lambda x, a: a * x, np.array([1.0, 2.0]), np.array(3.0))
        >>> [g.tolist() for g in pull(np.array([1.0, 10.0]))]
        [[3.0, 30.0], 21.0]
    """
    recorder = Recorder("vjp", f)
    inside = program_of(xs, keywords)[0] is not None
    program = recorder if inside else _Fixed(recorder)
    if not inside:
        xs, keywords = tree.map(_own, xs), tree.map(_own, keywords)
    made: list[str] = []

    def value(graph: Graph, *args: Any, **named: Any) -> Any:
        y = program(graph, *args, **named)
        made[:] = [r.dtype for r in results_of(graph, tree.flatten(y)[0])]
        return y

    def record(graph: Graph, g: Any, *args: Any, **named: Any) -> Any:
        own = tuple(variables(graph, a) for a in args)
        found, structure = tree.flatten(program(graph, *own, **named))
        gs, given = tree.flatten(tree.dual(g))
        ys = results_of(graph, found)
        if structure != given:
            shown, got = tree.describe(structure), tree.describe(given)
            raise ShapeError(f"vjp: the cotangent must have the output's structure, {shown}, got {got}")
        if any(a.shape != b.shape for a, b in zip(ys, gs, strict=True)):
            raise ShapeError(f"vjp: the cotangent must have the output's shapes {[r.shape for r in ys]}, got {[r.shape for r in gs]}")
        return tree.dual(pulled_back(graph, ys, gs, own))

    run = DerivedProgram("vjp", value, backend)
    back = DerivedProgram("pull", record, backend, program=record)
    # The cotangents belong to the very value that was returned, so random numbers are drawn alike in each run.
    run.stream = back.stream = FixedStream(seed)
    y = run(*xs, **keywords)
    return y, PullBack(back, xs, keywords, made)


class PullBack:
    """What `vjp` returns beside the value: `pull(g)` gives a tuple with a cotangent for each argument.

    It never changes, so a copy is itself.
    """

    def __init__(self, back: DerivedProgram, xs: tuple[Any, ...], keywords: dict[str, Any], dtypes: Sequence[str]) -> None:
        self._back = back
        self._xs, self._keywords = xs, keywords
        self._dtypes = dtypes

    def __call__(self, g: Any) -> tuple[Any, ...]:
        if is_backend(g):
            raise OptionError(f"vjp: the pull-back takes a cotangent alone, got {type(g).__name__}")
        leaves, structure = tree.flatten(g)
        if len(leaves) == len(self._dtypes):
            cast = [_cotangent(x, d) if d.startswith("float") else x for x, d in zip(leaves, self._dtypes, strict=True)]
            g = tree.unflatten(structure, cast)
        return self._back(g, *self._xs, **self._keywords)

    def __copy__(self) -> PullBack:
        return self

    def __deepcopy__(self, memo: Any) -> PullBack:
        return self

    def __reduce__(self) -> Any:
        raise OptionError(
            "vjp: a pull-back cannot be pickled: it holds the program as it ran here, with what that captured; send the cotangents that it"
            " returns, or call vjp where they are needed"
        )

    def __repr__(self) -> str:
        return "<pull-back of vjp>"


def _own(x: Any) -> Any:
    # An argument that the caller cannot change or release.
    if isinstance(x, AnyTensor):
        return shared(x)
    return as_tensor(x) if hasattr(x, "dtype") and not hasattr(x, "__cuda_array_interface__") else x


def _floating(x: Any, dtype: str) -> Any:
    # A direction or cotangent in integers as floating-point numbers.
    return as_tensor(x, dtype) if not isinstance(x, RefBase) and holds_integers(x) else x


def _cotangent(x: Any, dtype: str) -> Any:
    # It has its value's dtype, as an input of a call has its Spec's.
    return x if isinstance(x, RefBase) or not hasattr(x, "dtype") else as_input(x, dtype)


def directions(name: str, xs: Any, dxs: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The arguments and a direction for each, integers among the directions cast to the dtype of the program.

    Raises: OptionError for what is no tuple, ShapeError for another number of directions.
    """
    for what, given in (("xs", xs), ("the directions", dxs)):
        if not isinstance(given, tuple | list):
            raise OptionError(f"{name}: {what} must be a tuple with one entry for each argument, got {type(given).__name__}")
    if len(xs) != len(dxs):
        raise ShapeError(f"{name}: one direction for each of the {len(xs)} arguments, got {len(dxs)}")
    wide = any(str(getattr(x, "dtype", "")) == "float64" for x in tree.flatten((list(xs), list(dxs)))[0])
    return tuple(xs), tree.map(lambda d: _floating(d, "float64" if wide else "float32"), tuple(dxs))


def jvp(
    f: Callable[..., Any], xs: Sequence[Any], dxs: Sequence[Any], backend: Backend = "compiled", seed: int | None = None, **keywords: Any
) -> tuple[Any, Any]:
    """The value of a program at `xs` and its derivative in the direction `dxs` (None = that argument is held fixed).

    Args:
        f: a program.
        xs: its arguments.
        dxs: a direction for each, of its shape.
        backend, seed: as for `value_and_grad`.
        keywords: its keyword arguments.

    Raises: ShapeError, DTypeError for directions that do not fit.

    Example:
        >>> y, dy = tl.jvp(lambda x: x**2, (np.array([1.0, 3.0]),), (np.array([1.0, 0.5]),))
        >>> y.tolist(), dy.tolist()
        ([1.0, 9.0], [2.0, 3.0])
    """
    xs, dxs = directions("jvp", xs, dxs)
    return DerivedProgram("jvp", _jvp_record("jvp", Recorder("jvp", f)), backend, seed=seed)(xs, dxs, **keywords)


def _jvp_record(name: str, program: Callable[..., Any]) -> Callable[..., Any]:
    def record(graph: Graph, xs: Any, dxs: Any, **keywords: Any) -> Any:
        own = tuple(variables(graph, x) for x in xs)
        seeds = []
        for x, dx in zip(own, dxs, strict=True):
            if dx is None:
                continue
            (points, structure), (moves, given) = tree.flatten(x), tree.flatten(dx)
            if structure != given:
                shown, got = tree.describe(structure), tree.describe(given)
                raise ShapeError(f"{name}: a direction must have its argument's structure {shown}, got {got}")
            for a, b in zip(points, moves, strict=True):
                if not a.dtype.startswith("float"):
                    raise DTypeError(f"{name}: an argument that holds no floating-point numbers has no direction; pass None")
                if not b.dtype.startswith("float"):
                    raise DTypeError(f"{name}: a direction holds floating-point numbers, got {b.dtype}")
                if a.shape != b.shape:
                    raise ShapeError(f"{name}: a direction must have its argument's shape {a.shape}, got {b.shape}")
                seeds.append((a, b))
        found, structure = tree.flatten(program(graph, *own, **keywords))
        ys = results_of(graph, found)
        ts = forward(graph, seeds, ys)
        return tree.unflatten(structure, ys), tree.unflatten(structure, with_zeros(graph, ts, ys))

    return record


def hvp(f: Callable[..., Any], xs: Any, vs: Any, backend: Backend = "compiled", seed: int | None = None, **keywords: Any) -> Any:
    """The Hessian of a scalar program times a vector, forward over reverse.

    A call traces and compiles f. For many products make the call part of a program that is kept:
    `product = tl.jit(lambda x, v: tl.hvp(f, (x,), (v,))[0])`. The same holds for `jvp` and `vjp`.

    Args:
        f, backend, seed: as for `value_and_grad`.
        xs: the arguments, a tuple.
        vs: a direction for each argument; None holds that argument fixed (its entry of the result is None).
        keywords: its keyword arguments.

    Returns: a tuple aligned with `xs`.
    Source: Pearlmutter 1994, "Fast exact multiplication by the Hessian".

    Example:
        >>> tl.hvp(lambda x: tl.sum(x**3), (np.array([1.0, 2.0]),), (np.array([1.0, 1.0]),))[0].tolist()
        [6.0, 12.0]
    """
    return _hvp(Recorder("hvp", f), xs, vs, backend, seed, keywords)


def _hvp(recorder: Recorder, xs: Any, vs: Any, backend: str, seed: int | None, keywords: dict[str, Any]) -> Any:
    name = recorder.name
    xs, vs = directions(name, xs, vs)
    held = tuple(v is None for v in vs)
    free = tuple(k for k, h in enumerate(held) if not h)
    gradients = gradient_record(recorder, free)

    def record(graph: Graph, xs: Any, vs: Any, **keywords: Any) -> Any:
        def gradient(graph: Graph, *moved: Any) -> Any:
            full = list(xs)
            for k, x in zip(free, moved, strict=True):
                full[k] = x
            return gradients(graph, *full, **keywords)[1]

        return _jvp_record(name, gradient)(graph, tuple(xs[k] for k in free), tuple(v for v in vs if v is not None))[1]

    found = iter(DerivedProgram(name, record, backend, seed=seed)(xs, tuple(v for v in vs if v is not None), **keywords))
    return tuple(None if h else next(found) for h in held)


hvp_inputs = hvp


def hvp_params(
    loss: Callable[..., Any],
    params: Sequence[Any],
    inputs: Sequence[Any],
    v: Sequence[Any],
    backend: Backend = "compiled",
    seed: int | None = None,
    **keywords: Any,
) -> Any:
    """The Hessian of `loss(*params, *inputs)` in the parameters, times `v` (one direction per parameter).

    Args:
        loss: a scalar program.
        params, inputs: its arguments.
        v: the directions, of the parameters' shapes.
        backend, seed: as for `value_and_grad`.
        keywords: its keyword arguments.

    Raises: ShapeError for another number of directions; OptionError for something that is no tuple or list.
    """
    for what, given in (("params", params), ("inputs", inputs), ("v", v)):
        if not isinstance(given, tuple | list):
            raise OptionError(f"hvp_params: {what} must be a tuple or a list, got {type(given).__name__}")
    if len(params) != len(v):
        raise ShapeError(f"hvp_params: one direction for each of the {len(params)} parameters, got {len(v)}")
    directions = (*v, *[None] * len(inputs))
    return _hvp(Recorder("hvp_params", loss), (*params, *inputs), directions, backend, seed, keywords)[: len(params)]
