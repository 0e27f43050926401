"""Loops of a known number of steps: `scan`, and what is made of it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from tlean import tree
from tlean._core.array import as_tensor
from tlean.arguments import flag, whole
from tlean.compiler.loops.blocks import Blocks, block_lengths
from tlean.compiler.loops.scan import scan_record
from tlean.dtypes import FLOATS
from tlean.errors import DTypeError, OptionError, ShapeError
from tlean.ops import Spec
from tlean.programs.recorder import Recorder
from tlean.programs.running import backend_itself

from .bodies import BodyGraph, called, leaf, results, spec_of
from .choices import together
from .invariants import lift

#: How many steps a loop of a known number may have: as many as an array may have entries.
MOST_STEPS = 1 << 48


def scan(
    f: Callable[..., Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: bool | int = 1,
    checkpoint: int | Literal["sqrt", "optimal"] | None = None,
) -> tuple[Any, Any]:
    """A loop that carries values from step to step: `carry, y = f(carry, x)` for each entry x of `xs` along its first axis.

    The body is recorded once and runs as one op, whose derivatives are loops too. References, arrays and parameters that f captures
    are inputs of that op, and have gradients.

    Args:
        f: `f(carry, x)`, or `f(ops, carry, x)`, returns the next carry, of the same structure, shapes and dtypes, and y, a tree.
        init: the first carry, a tree.
        xs: a tree of arrays of one length; None where the steps have no input (x is then None).
        length: the number of steps; needed without `xs`.
        reverse: from the last entry to the first; y is stacked where its x was.
        unroll: how many steps a turn of the plan's loop has, with the same bits; where that does not divide the length, the next smaller
            number that does. True records one node for each op of each step, for who looks at a tape; it agrees to rounding.
        checkpoint: what the gradient stores. None: what each step keeps. k: the carry at every k-th step; the k steps from there run
            again. "sqrt": the k that takes least memory, about 2 √n steps of it for n. "optimal": blocks of blocks, about 3 ∛n; each step
            runs twice more. The values are the same bits; so are the gradients, except those that one product over all steps makes.

    Returns: the last carry, and the ys stacked along a new first axis.
    Raises: ShapeError, DTypeError for a carry that changes, OptionError for a body that returns something else; what the ops raise.

    Example:
        >>> total, sums = tl.scan(lambda c, x: (c + x, c + x), 0.0, np.array([1.0, 2.0, 3.0]))
        >>> total.item(), sums.tolist()
        (6.0, [1.0, 3.0, 6.0])
    """
    recorder = Recorder("scan", f)
    counted = not isinstance(unroll, bool) and hasattr(unroll, "__index__")
    turn: Any = whole("scan: unroll", unroll) if counted else unroll
    if turn is not True and (not counted or turn < 1):
        raise OptionError(f"scan: unroll must be True, or how many steps a turn of the loop has, got {unroll!r}")
    backward = flag("scan", "reverse", reverse)

    def record(program: Any, init: Any, xs: Any) -> Any:
        return recorded("scan", recorder, program, (init, xs), length, backward, turn, checkpoint)

    return called("scan", (f,), record, init, xs)


def map(f: Callable[..., Any], xs: Any) -> Any:
    """The results of `f(x)` for each entry x of `xs` along its first axis, stacked along a new first axis: a loop, one entry at a time.

    Args:
        f: `f(x)`, or `f(ops, x)`.
        xs: a tree of arrays of one length.

    Raises: ShapeError where there is no such axis, or the lengths differ.

    Example:
        >>> tl.map(lambda row: tl.sum(row * row), np.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
        [5.0, 25.0]
    """
    recorder = Recorder("map", f)

    def step(ops: Any, carry: Any, x: Any) -> Any:
        return None, recorder(ops, x)

    def record(program: Any, xs: Any) -> Any:
        return recorded("map", step, program, (None, xs), None, False)[1]

    return called("map", (f,), record, xs)


def fori_loop(lower: int, upper: int, f: Callable[..., Any], init: Any, checkpoint: int | Literal["sqrt", "optimal"] | None = None) -> Any:
    """The carry after `carry = f(i, carry)` for each integer i from `lower` on, below `upper`.

    Args:
        lower, upper: integers.
        f: `f(i, carry)`, or `f(ops, i, carry)`, returns the next carry, of the same structure, shapes and dtypes; i is an int64.
        init: the first carry, a tree.
        checkpoint: as for `scan`.

    Raises: OptionError for bounds that are no integers; as `scan` does.

    Example:
        >>> tl.fori_loop(0, 5, lambda i, c: c * 2.0, 1.0).item()
        32.0
    """
    recorder = Recorder("fori_loop", f)
    try:
        first, last = operator.index(lower), operator.index(upper)
    except TypeError:
        raise OptionError(f"fori_loop: lower and upper must be integers, got {lower!r} and {upper!r}") from None
    count = max(last - first, 0)
    if count > MOST_STEPS or (count and not -(1 << 63) <= first < 1 << 63):
        raise OptionError(f"fori_loop: there must be at most 2^48 steps, whose numbers fit 64 bits, got {first} to {last}")

    def step(ops: Any, carry: Any, _: Any) -> Any:
        i = ops.number()
        return recorder(ops, ops.add(i, ops._constant(as_tensor(first, "int64"))) if first and count else i, carry), None

    def record(program: Any, init: Any) -> Any:
        return recorded("fori_loop", step, program, (init, None), count, False, checkpoint=checkpoint)[0]

    return called("fori_loop", (f,), record, init)


def recorded(
    name: str,
    function: Callable[..., Any],
    program: Any,
    args: tuple[Any, Any],
    length: int | None,
    reverse: bool,
    unroll: bool | int = 1,
    checkpoint: Any = None,
) -> tuple[Any, Any]:
    """Record a scan into a program; returns the last carry and the stacked ys.

    Args:
        name: of the loop, for messages.
        function: `function(graph, carry, x)` records a step.
        program: a backend, or what is wrapped around one.
        args: the first carry and the stacked inputs.
        length: of the loop, or None.
        reverse, unroll, checkpoint: as for `scan`.
    """
    ops = backend_itself(program)
    xs = [leaf(ops, x) for x in tree.flatten(args[1])[0]]
    steps = _length(name, xs, length)
    lengths = block_lengths(name, checkpoint, steps)
    loop = body_of(name, function, program, args)
    outputs = [*loop.after, *loop.ys]
    if not outputs:
        return args[0], tree.unflatten(loop.y_structure, [])
    n = len(loop.init)
    graph, init = loop.graph, list(loop.init)
    if graph.step is not None:
        # The number of the step, which is one more carry.
        graph.inputs.insert(n, graph.step.id)
        outputs.insert(n, graph.add(graph.step, graph._constant(as_tensor(1, "int64"))))
        init.append(ops._own_constant(as_tensor(0, "int64")))
    c = len(init)
    if steps:
        outputs = lift(graph, graph.inputs[: c + len(xs)], outputs)  # type: ignore[arg-type]
    inputs, (body,) = together([graph], [outputs], [*init, *loop.xs], c + len(xs))
    if unroll is True:
        done = scan_record(body, c, len(xs), steps, reverse).rules.decompose(ops, *inputs)
        done = done if isinstance(done, tuple) else (done,)
    else:
        done = Blocks(body, c, len(xs), steps, reverse, lengths, unroll).applied(ops, inputs)
    return tree.unflatten(loop.structure, list(done[:n])), tree.unflatten(loop.y_structure, list(done[c:]))


class Recorded(NamedTuple):
    """A step as it was recorded: its graph, the loop's first carries and stacked inputs, and what a step makes."""

    graph: BodyGraph
    init: list[Any]
    xs: list[Any]
    structure: Any
    after: list[Any]
    ys: list[Any]
    y_structure: Any


def body_of(name: str, function: Callable[..., Any], program: Any, args: tuple[Any, Any]) -> Recorded:
    """Record a step of a loop.

    Args:
        name, function, program, args: as for `recorded`.
    """
    ops = backend_itself(program)
    firsts, structure = tree.flatten(args[0])
    stacks, x_structure = tree.flatten(args[1])
    weak = [type(x) in (int, float) for x in firsts]
    init, xs = [leaf(ops, x) for x in firsts], [leaf(ops, x) for x in stacks]
    graph = BodyGraph(name, program)
    while True:
        carry = [graph.arg(spec_of(r)) for r in init]
        x = [graph.arg(Spec(s.shape[1:], s.dtype)) for s in (spec_of(r) for r in xs)]
        made = function(graph, tree.unflatten(structure, carry), tree.unflatten(x_structure, x))
        if not isinstance(made, tuple | list) or len(made) != 2:
            raise OptionError(f"{name}: the body returns (carry, y), got {type(made).__name__}")
        after, ys, y_structure = _checked(name, graph, made, structure, [spec_of(r) for r in init])
        wider = _wider(init, after, weak)
        if not wider:
            break
        graph.forget()
        graph = graph.beside()
        graph.draws.count = 0
        # Plain numbers that a body makes wider ones of are such numbers from the beginning.
        for k, dtype in wider.items():
            init[k], weak[k] = ops._own_constant(as_tensor(firsts[k], dtype)), False
    for k, (a, r) in enumerate(zip(after, init, strict=True)):
        if a.spec != spec_of(r):
            kind = ShapeError if a.shape != tuple(r.shape) else DTypeError
            got = f"{a.shape} {a.dtype} after {tuple(r.shape)} {r.dtype}"
            raise kind(f"{name}: the carry must keep its shapes and dtypes, got {got} for leaf {k} of {tree.describe(structure)}")
    return Recorded(graph, init, xs, structure, after, ys, y_structure)


def _length(name: str, xs: Sequence[Any], length: int | None) -> int:
    if length is not None:
        try:
            length = operator.index(length)
        except TypeError:
            raise OptionError(f"{name}: length must be an int, got {length!r}") from None
        if not 0 <= length <= MOST_STEPS:
            raise OptionError(f"{name}: length must be at least 0 and at most 2^48, got {length}")
    found: dict[int, int] = {}
    for k, x in enumerate(xs):
        if not x.shape:
            raise ShapeError(f"{name}: xs must have an axis to go along, got shape () for leaf {k}")
        found.setdefault(int(x.shape[0]), k)
    if len(found) > 1 or (length is not None and found and length not in found):
        lengths = sorted(found) if length is None else [length, *sorted(found)]
        raise ShapeError(f"{name}: xs must have one length, got {' and '.join(str(n) for n in lengths)}")
    if not found and length is None:
        raise OptionError(f"{name}: length is needed where there are no xs")
    return next(iter(found)) if found else length  # type: ignore[return-value]


def _checked(name: str, graph: BodyGraph, made: Sequence[Any], structure: Any, specs: Sequence[Spec]) -> Any:
    # The new carry and y as references of the body, and the structure of y.
    after, got = tree.flatten(made[0])
    if got != structure:
        wanted = tree.describe(structure)
        raise ShapeError(f"{name}: the carry must keep its structure, {wanted}, got {tree.describe(got)}")
    ys, y_structure = tree.flatten(made[1])
    # A number stays what it is where it is to be widened.
    like = [None if type(x) is float and s.dtype not in FLOATS else s for x, s in zip(after, specs, strict=True)]
    return results(graph, after, like), results(graph, ys, [None] * len(ys)), y_structure


def _wider(init: Sequence[Any], after: Sequence[Any], weak: Sequence[bool]) -> dict[int, str]:
    # The carries that began as plain numbers and become floats, or wider ones, with their dtypes.
    order = ("int64", "float32", "float64")
    return {
        k: a.spec.dtype
        for k, (r, a, w) in enumerate(zip(init, after, weak, strict=True))
        if w and a.shape == () and a.spec.dtype in order and order.index(a.spec.dtype) > order.index(str(r.dtype))
    }
