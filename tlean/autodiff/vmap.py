"""A program over one example as a program over many, in one call."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from tlean import tree
from tlean.compiler.batch import batch
from tlean.compiler.graph import Graph, GraphRef
from tlean.errors import IndexRangeError, OptionError, ShapeError
from tlean.ops import Spec
from tlean.ops.batching.call import lanes_first
from tlean.programs.recorder import Recorder

from ..arguments.literals import Backend
from .derived import DerivedProgram, results_of


def vmap(
    f: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0, backend: Backend = "compiled", seed: int | None = None
) -> DerivedProgram:
    """A program over one example as a program over many: f of each entry along an axis of the arguments, in one call.

    f is traced once, for one example, and each op in it becomes one op on all examples. It may be any program, one that `grad`, `jvp` or
    `vmap` made too, and so may what comes of it: `vmap(grad(f))` are per-example gradients, `grad(lambda w: tl.sum(vmap(f)(w)))` is the
    gradient of a sum over examples. Random ops draw one array for all examples, so each example has its own numbers.

    Args:
        f: a program, `f(*xs)` or `f(ops, *xs)`; what it captures is the same for each example.
        in_axes: the axis of each argument along which the examples lie, or None for an argument that is the same for each: an int or None
            for all arguments, or a tuple with an entry for each; an entry may be a tree like the argument's, or the beginning of one.
            Arrays among keyword arguments are mapped along their first axis, numbers are the same for each example.
        out_axes: the axis of each result along which the examples are to lie, None for a result that is the same for each; likewise.
        backend, seed: as for `value_and_grad`.

    Returns: a program that takes the arguments of f, with the axis more.
    Raises: OptionError for axes of another form; when called, ShapeError where the axes have different sizes, or nothing is mapped;
        IndexRangeError for an axis that an array does not have.

    Example:
        >>> tl.vmap(lambda x, y: tl.sum(x * y))(np.ones((3, 2), "float32"), np.full((3, 2), 2, "float32")).tolist()
        [4.0, 4.0, 4.0]
        >>> f = lambda w, x: tl.sum(tl.tanh(w * x))
        >>> tl.vmap(tl.grad(f), in_axes=(None, 0))(np.zeros(2, "float32"), np.ones((3, 2), "float32")).shape
        (3, 2)
    """
    recorder = Recorder("vmap", f)
    checked_axes("vmap", "in_axes", in_axes)
    checked_axes("vmap", "out_axes", out_axes)

    def record(graph: Graph, *args: Any, **keywords: Any) -> Any:
        return mapped("vmap", graph, recorder, args, keywords, in_axes, out_axes)

    return DerivedProgram("vmap", record, backend, recorder, seed, (vmap, (f, in_axes, out_axes, backend, seed)))


def mapped(
    name: str, graph: Graph, program: Callable[..., Any], args: Sequence[Any], keywords: dict[str, Any], in_axes: Any, out_axes: Any
) -> Any:
    """Record a program of one example for all examples of the arguments; returns its results.

    Args:
        name: of the transformation, for messages.
        graph: what it is recorded into.
        program: `program(graph, *args, **keywords)`, of one example.
        args, keywords: of all examples.
        in_axes, out_axes: as for `vmap`.
    """
    leaves, structure = tree.flatten((args, keywords))
    axes = _axes_of(name, args, keywords, in_axes)
    size = _size(name, leaves, axes, args)
    first = len(graph.specs)
    own, lanes = [], {}
    for x, axis in zip(leaves, axes, strict=True):
        if axis is None:
            own.append(x)
            continue
        # No node makes it: it is the argument of one example while the program is traced.
        one = graph._value(Spec((*x.shape[:axis], *x.shape[axis + 1 :]), x.dtype))
        lanes[one.id] = lanes_first(graph, x, axis)
        own.append(one)
    inner, named = tree.unflatten(structure, own)
    found, shape = tree.flatten(program(graph, *inner, **named))
    refs = results_of(graph, found)
    made = batch(graph, lanes, size, refs, first)
    places = spread_axes(f"{name}: out_axes", out_axes, shape)
    return tree.unflatten(shape, [_placed(name, graph, y, own, size, p) for (y, own), p in zip(made, places, strict=True)])


def checked_axes(name: str, what: str, axes: Any) -> None:
    """Raises: OptionError for axes that are no ints."""
    for a in tree.flatten(axes)[0]:
        if isinstance(a, bool) or not hasattr(a, "__index__"):
            raise OptionError(f"{name}: {what} must be an int, None or a tuple or tree of them, got {a!r}")


def spread_axes(name: str, axes: Any, structure: tree.Structure) -> list[int | None]:
    """An axis for each leaf of a tree, from axes that have its form or are the beginning of it. Raises: OptionError."""
    numbers, given = tree.flatten(axes)
    left = iter(numbers)

    def walk(given: tree.Structure, structure: tree.Structure) -> list[int | None]:
        if given is None:
            return [None] * tree.count(structure)
        if given == "*":
            return [operator.index(next(left))] * tree.count(structure)
        if not isinstance(structure, tuple) or not _alike(given, structure):
            raise OptionError(f"{name} must have the form of what it describes, {tree.describe(structure)}, or begin it, got {axes!r}")
        return [a for g, s in zip(given[2], structure[2], strict=True) for a in walk(g, s)]

    return walk(given, structure)


def _alike(given: tree.Structure, structure: tree.Structure) -> bool:
    sequences = (list, tuple)
    if given[0] in sequences and structure[0] in sequences:
        return len(given[2]) == len(structure[2])
    return bool(given[:2] == structure[:2]) and len(given[2]) == len(structure[2])


def _axes_of(name: str, args: Sequence[Any], keywords: dict[str, Any], in_axes: Any) -> list[int | None]:
    # For each leaf of (args, keywords) the axis along which the examples lie, counted from 0.
    if in_axes is not None and not hasattr(in_axes, "__index__") and not isinstance(in_axes, tuple | list):
        raise OptionError(f"{name}: in_axes must be an int, None or a tuple with an entry for each argument, got {in_axes!r}")
    axes = spread_axes(f"{name}: in_axes", in_axes, tree.flatten(tuple(args))[1])
    checked: list[int | None] = []
    for x, axis, what in zip(tree.flatten(args)[0], axes, _names(args), strict=True):
        rank = len(x.shape)
        if axis is not None and not -rank <= axis < rank:
            got = f"{what}, a number" if not rank else f"{what} of shape {tuple(x.shape)}"
            raise IndexRangeError(f"{name}: in_axes must name an axis that the argument has, or be None, got axis {axis} for {got}")
        checked.append(None if axis is None else axis % rank)
    named = tree.flatten(keywords)[0]
    return checked + [0 if isinstance(x, GraphRef) and x.shape else None for x in named]


def _names(args: Sequence[Any]) -> list[str]:
    counts = [len(tree.flatten(a)[0]) for a in args]
    return [f"argument {k}" + (f", leaf {i}" if n > 1 else "") for k, n in enumerate(counts) for i in range(n)]


def _size(name: str, leaves: Sequence[Any], axes: Sequence[int | None], args: Sequence[Any]) -> int:
    # How many examples there are.
    names = _names(args)
    names += ["a keyword argument"] * (len(leaves) - len(names))
    sizes = [(x.shape[a], f"{n} (axis {a} of {tuple(x.shape)})") for x, a, n in zip(leaves, axes, names, strict=True) if a is not None]
    if not sizes:
        raise ShapeError(f"{name}: at least one argument must be mapped, got none with an axis")
    other = next((s for s in sizes if s[0] != sizes[0][0]), None)
    if other is not None:
        raise ShapeError(f"{name}: the mapped axes must have one size, got {sizes[0][0]} for {sizes[0][1]} and {other[0]} for {other[1]}")
    return int(sizes[0][0])


def _placed(name: str, graph: Graph, y: GraphRef, own: bool, size: int, axis: int | None) -> GraphRef:
    # A result with the examples along that axis; `own`: they are its first one, else it is the same for each.
    if axis is None:
        if own:
            raise OptionError(f"{name}: out_axes must be None for results alone that are the same for each example, got one that is not")
        return y
    rank = len(y.shape) + (not own)
    if not -rank <= axis < rank:
        raise IndexRangeError(f"{name}: out_axes must name an axis of the result, which has {rank}, got {axis}")
    y = y if own else graph.broadcast_to(y, (size, *y.shape))
    axis %= rank
    return y if not axis else graph.permute(y, (*range(1, axis + 1), 0, *range(axis + 1, rank)))
