"""`while_loop`: a loop whose number of steps is known when it runs."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Literal

from tlean import tree
from tlean._core.array import as_tensor
from tlean.compiler.loops.blocks import block_lengths
from tlean.compiler.loops.whiles import while_record
from tlean.errors import DTypeError, OptionError, ShapeError
from tlean.ops import Spec
from tlean.programs.recorder import Recorder
from tlean.programs.running import backend_itself

from .bodies import called, spec_of
from .choices import together
from .invariants import lift
from .scans import MOST_STEPS, body_of


def while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    init: Any,
    max_steps: int | None = None,
    checkpoint: int | Literal["sqrt", "optimal"] | None = None,
) -> Any:
    """The carry after `carry = body(carry)` as often as `cond(carry)` holds.

    Args:
        cond: `cond(carry)`, or `cond(ops, carry)`, returns a Boolean of shape `()`.
        body: `body(carry)`, or `body(ops, carry)`, returns the next carry, of the same structure, shapes and dtypes.
        init: the first carry, a tree.
        max_steps: the most steps; the loop then ends there whatever `cond` says.
        checkpoint: what the gradient stores, as for `scan`, of so many steps; it needs `max_steps`.

    Its gradient runs the loop once more, with a store that grows by what each step keeps; that gradient has no further derivative. With
    `max_steps` gradients of any order are those of a `scan` of so many steps, whose memory they take. Tangents (`jvp`) need neither.

    Raises: OptionError for a `max_steps` that is no integer from 0 on, or a `checkpoint` without it; ShapeError, DTypeError for a carry
        that changes, or another result of `cond`.

    Example:
        >>> tl.while_loop(lambda c: c < 100.0, lambda c: c * 2.0, 3.0).item()
        192.0
    """
    conditions, steps = Recorder("while_loop", cond), Recorder("while_loop", body)
    try:
        most = None if max_steps is None else operator.index(max_steps)
    except TypeError:
        raise OptionError(f"while_loop: max_steps must be an int, got {max_steps!r}") from None
    if most is not None and not 0 <= most <= MOST_STEPS:
        raise OptionError(f"while_loop: max_steps must be at least 0 and at most 2^48, got {most}")
    if checkpoint is not None and most is None:
        raise OptionError(f"while_loop: checkpoint needs max_steps, got {checkpoint!r} without it")
    lengths = block_lengths("while_loop", checkpoint, most or 0)

    def step(graph: Any, carry: Any, x: Any) -> Any:
        return steps(graph, carry), None

    def record(program: Any, init: Any) -> Any:
        ops = backend_itself(program)
        loop = body_of("while_loop", step, program, (init, None))
        refs, structure = loop.init, loop.structure
        if not refs:
            raise OptionError("while_loop: the carry must have a leaf, got a tree without one")
        asked = loop.graph.beside()
        flag = asked.ref(conditions(asked, tree.unflatten(structure, [asked.arg(spec_of(r)) for r in refs])))
        if flag is None or flag.shape != () or flag.dtype != "bool":
            kind = ShapeError if flag is not None and flag.shape != () else DTypeError
            raise kind(f"while_loop: cond returns a Boolean of shape (), got {None if flag is None else flag.spec}")
        carries = len(refs)
        bodies, after = [asked, loop.graph], list(loop.after)
        if any(b.step is not None for b in bodies):
            # Random ops read the number of the step, which is one more carry.
            numbers = [b._value(Spec((), "int64")) if b.step is None else b.step for b in bodies]
            for b, number in zip(bodies, numbers, strict=True):
                b.inputs.insert(carries, number.id)
            after.append(loop.graph.add(numbers[1], loop.graph._constant(as_tensor(1, "int64"))))
            refs = [*refs, ops._own_constant(as_tensor(0, "int64"))]
        after = lift(loop.graph, loop.graph.inputs[: len(refs)], after, runs=False)  # type: ignore[arg-type]
        inputs, (first, second) = together(bodies, [[flag], after], refs, len(refs))
        made = ops.apply(while_record(first, second, len(refs), most, lengths), tuple(inputs), {})
        return tree.unflatten(structure, list(made)[:carries] if isinstance(made, tuple) else [made])

    return called("while_loop", (cond, body), record, init)
