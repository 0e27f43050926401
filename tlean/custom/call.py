"""Calls of a custom op as records: what runs, its derivatives, its batching rule."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tlean._core.refs import RefBase
from tlean.compiler.graph import Graph, GraphRef
from tlean.compiler.loops.bodies import Loop
from tlean.dtypes import FLOAT, FLOATS, INTEGERS
from tlean.errors import DTypeError, OptionError, ShapeError
from tlean.ops import Spec
from tlean.ops.batching import Call
from tlean.ops.registry import OpDef
from tlean.ops.unregistered import host_op

if TYPE_CHECKING:
    from .op import CustomOp

_numbers = itertools.count()

Shape = tuple[int, ...]
_Specs = tuple[tuple[Shape, str], ...]


class OpCall:
    """Calls of a custom op with inputs of the same shapes and dtypes, as records.

    Args:
        op: the op.
        specs: the shape and dtype of every input.
        shapes: of the outputs.
        options: of the call.
    """

    op: CustomOp
    specs: _Specs
    shapes: list[Shape]
    options: dict[str, Any]

    def __init__(self, op: CustomOp, specs: _Specs, shapes: Sequence[Shape], options: dict[str, Any]) -> None:
        self.op, self.specs, self.shapes, self.options = op, specs, list(shapes), options
        self.floats: list[int] = [k for k, (_, dtype) in enumerate(specs) if dtype.startswith(FLOAT)]
        self.outs: list[tuple[Shape, str]] = list(zip(self.shapes, op._kinds(len(shapes)), strict=True))
        #: The outputs that have derivatives.
        self.moving: list[int] = [k for k, (_, dtype) in enumerate(self.outs) if dtype == FLOAT]
        self.many: bool = len(self.shapes) > 1
        number = next(_numbers)
        moving, floats = [self.outs[k] for k in self.moving], [specs[k] for k in self.floats]
        pulled, pushed = [s for s, _ in floats], [s for s, _ in moving]
        again = self._second_order
        vjp, jvp = (self._vjp_program, self._jvp_program) if op.programs else (self._vjp, self._jvp)
        if not op.programs and moving and floats:
            lanes = self._lanes(lambda wide: wide.pulled, (*moving, *self.outs, *specs))
            self.pulled: OpDef = host_op(
                f"{op.name} vjp #{number}",
                self._pull,
                [*moving, *self.outs, *specs],
                pulled,
                again,
                again,
                lanes,
                cuda=self._cuda("backward"),
            )
            lanes = self._lanes(lambda wide: wide.pushed, (*specs, *floats))
            self.pushed: OpDef = host_op(
                f"{op.name} jvp #{number}", self._push, [*specs, *floats], pushed, again, again, lanes, cuda=self._cuda("jvp")
            )
        lanes = self._lanes(lambda wide: wide.record, specs)
        outs = [Spec(s, d) for s, d in self.outs]
        self.record: OpDef = host_op(f"{op.name} #{number}", self._run, specs, outs, vjp, jvp, lanes, cuda=self._cuda("forward"))
        self._tapes: dict[str, Loop] = {}

    def _cuda(self, which: str) -> Callable[..., Any] | None:
        # What a device runs, where the op has code for it.
        code = self.op.cuda
        if code is None or not code.has(which):
            return None
        shapes = tuple(s for s, _ in self.specs)

        def made(ins: Sequence[Spec], outs: Sequence[Spec]) -> Any:
            options = {**_defaults(self.op.forward, len(shapes)), **self.options}
            floats, moving = tuple(self.floats), tuple(self.moving)
            return code.code_of(
                ins,
                outs,
                name=self.op.name,
                which=which,
                shapes=shapes,
                floats=floats,
                moving=moving,
                outputs=len(self.outs),
                options=options,
            )

        return made

    def applied(self, ops: Any, inputs: Sequence[Any]) -> list[Any]:
        """The outputs on any backend."""
        if not self.many or isinstance(ops, Graph):
            made = ops.apply(self.record, tuple(inputs), {})
            return list(made) if self.many else [made]
        tape = self._tapes.get(ops.dtype)
        if tape is None:
            # A node of a tape has one value: several are packed into one.
            specs, outs = ([Spec(s, d if d in INTEGERS else ops.dtype) for s, d in given] for given in (self.specs, self.outs))
            tape = self._tapes[ops.dtype] = Loop(self.op.name, (), specs, outs)
        return list(tape.on_tape(ops, self.record, tuple(inputs)))

    def _lanes(self, record: Callable[[OpCall], OpDef], specs: Sequence[tuple[Shape, str]]) -> Callable[[Call], Any] | None:
        # The batching rule: the same functions on arrays with the lanes as their first axis.
        if self.op.vmap_method == "sequential":
            return None

        def batch(call: Call) -> Sequence[GraphRef]:
            inputs = tuple(((call.size, *s), d) for s, d in self.specs)
            wide = self.op._call(inputs, [(call.size, *s) for s in self.shapes], self.options)
            ids = [call.spread(k).id for k in range(len(call.inputs))]
            return [GraphRef(call.ops, v) for v in call.ops._record(record(wide), ids, {}, call.name)]

        return batch

    # On arrays --------------------------------------------------------------------------------------------------------------

    def _run(self, outs: list[Any], ins: list[Any], options: dict[str, Any]) -> None:
        learned, self.op._learned.value = getattr(self.op._learned, "value", None), None
        if learned is None:
            value = self.op._forward(*ins, **self.options)
            learned = self.op._several(value, len(outs)) if self.many else [value]
        for target, value, shape in zip(outs, learned, self.shapes, strict=True):
            if target is not None:
                target[...] = self.op._cast(self.op._checked(value, shape, "forward"), target.dtype)

    def _pull(self, outs: list[Any], ins: list[Any], options: dict[str, Any]) -> None:
        n, m = len(self.moving), len(self.outs)
        gs: list[Any] = [None] * m
        for k, g in zip(self.moving, ins[:n], strict=True):
            gs[k] = g
        ys, xs = ins[n : n + m], ins[n + m :]
        made = self.op._backward(*xs, tuple(ys) if self.many else ys[0], tuple(gs) if self.many else gs[0], **self.options)
        found = self._cotangents(made)
        for target, k in zip(outs, self.floats, strict=True):
            if target is not None:
                target[...] = 0.0 if found[k] is None else self.op._checked(found[k], self.specs[k][0], "backward")

    def _push(self, outs: list[Any], ins: list[Any], options: dict[str, Any]) -> None:
        count = len(self.specs)
        tangents = [np.zeros(s, d) for s, d in self.specs]
        for k, t in zip(self.floats, ins[count:], strict=True):
            tangents[k] = t
        found = self._tangents(self.op._jvp(*ins[:count], *tangents, **self.options))
        for target, k in zip(outs, self.moving, strict=True):
            if target is not None:
                target[...] = 0.0 if found[k] is None else self.op._checked(found[k], self.shapes[k], "jvp")

    def _cotangents(self, made: Any) -> list[Any]:
        return self.op._parts(made, len(self.specs), f"backward gives one cotangent for each of the {len(self.specs)} inputs")

    def _tangents(self, made: Any) -> list[Any]:
        return (
            self.op._parts(made, len(self.outs), f"jvp gives a tangent for each of the {len(self.outs)} outputs") if self.many else [made]
        )

    # Derivatives ------------------------------------------------------------------------------------------------------------

    def _vjp(self, ops: Any, g: Any, y: Any, *xs: Any) -> Any:
        if not self.floats:
            return (None,) * len(xs)
        gs, ys = self._both(ops, g, y)
        made = ops.apply(self.pulled, (*(gs[k] for k in self.moving), *ys, *xs), {})
        cotangents = iter(made if isinstance(made, tuple) else (made,))
        return tuple(next(cotangents) if k in self.floats else None for k in range(len(xs)))

    def _vjp_program(self, ops: Any, g: Any, y: Any, *xs: Any) -> Any:
        gs, ys = self._both(ops, g, y)
        made = self.op._backward(ops, *xs, tuple(ys) if self.many else ys[0], tuple(gs) if self.many else gs[0], **self.options)
        return tuple(
            self._own(ops, c, x, "backward") if k in self.floats else None
            for k, (c, x) in enumerate(zip(self._cotangents(made), xs, strict=True))
        )

    def _both(self, ops: Any, g: Any, y: Any) -> tuple[list[Any], list[Any]]:
        ys = list(y) if self.many else [y]
        gs = list(g) if self.many else [g]
        for k in self.moving:
            if gs[k] is None:
                gs[k] = ops._full(shape=tuple(ys[k].shape), value=0.0, dtype=ys[k].dtype)
        return gs, ys

    def _jvp(self, ops: Any, t: Any, y: Any, *xs: Any) -> Any:
        moved = self._moved(ops, t, xs)
        made = ops.apply(self.pushed, (*xs, *(moved[k] for k in self.floats)), {})
        tangents = iter(made if isinstance(made, tuple) else (made,))
        found = [next(tangents) if k in self.moving else None for k in range(len(self.outs))]
        return found if self.many else found[0]

    def _jvp_program(self, ops: Any, t: Any, y: Any, *xs: Any) -> Any:
        made = self._tangents(self.op._jvp(ops, *xs, *self._moved(ops, t, xs), **self.options))
        ys = y if self.many else (y,)
        found = [self._own(ops, d, ys[k], "jvp") if k in self.moving else None for k, d in enumerate(made)]
        return found if self.many else found[0]

    def _moved(self, ops: Any, t: Any, xs: Sequence[Any]) -> list[Any]:
        # A tangent for each input, zeros where there is none.
        if self.op.jvp is None:
            raise OptionError(f"{self.op.name}: a directional derivative needs the op's jvp; pass jvp= to custom_op")
        return [ops._full(shape=tuple(x.shape), value=0.0, dtype=x.dtype) if d is None else d for d, x in zip(t, xs, strict=True)]

    def _own(self, ops: Any, value: Any, like: Any, what: str) -> Any:
        # What a program gave, as a reference of the backend.
        if value is None:
            return None
        ref = value if isinstance(value, RefBase) else ops.const(value)
        if tuple(ref.shape) != tuple(like.shape):
            raise ShapeError(f"{self.op.name}: {what} gives an array of shape {tuple(ref.shape)}, expected {tuple(like.shape)}")
        if str(ref.dtype) not in FLOATS:
            raise DTypeError(f"{self.op.name}: {what} must give floating-point numbers, got {ref.dtype}")
        return ref

    def _second_order(self, ops: Any, *refs: Any, **options: Any) -> Any:
        raise OptionError(
            f"{self.op.name}: a custom op on arrays has first derivatives only; for more pass programs=True with a backward and a jvp that"
            " are programs, or write it with defop"
        )


def _defaults(function: Callable[..., Any], inputs: int) -> dict[str, Any]:
    # The options of a function in Python that a call may leave out.
    if not hasattr(function, "__code__"):
        return {}
    parameters = list(inspect.signature(function).parameters.values())
    return {p.name: p.default for p in parameters[inputs:] if p.default is not p.empty}
