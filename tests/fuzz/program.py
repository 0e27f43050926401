"""What a program of the fuzzer is: inputs, steps and outputs as plain data, so that it can be drawn, run, shrunk and printed."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tlean.ops import Spec
from tlean.ops.registry import composites, get

from .own import OWN

FLOATS = ("float32", "float64")


@dataclass(frozen=True)
class Input:
    """An array that a program is given.

    Attributes:
        key: the value's number; inputs and steps share one count.
        dtype: "float" (the program's own), or the name of a dtype.
        kind: as `Arr.kind`, "ones", "coarse" (multiples of a half) or "wild" (NaN, infinities, huge, tiny).
        seed: of the numbers.
        grad: whether a gradient is asked for.
        const: not an argument of the program but a constant in it.
    """

    key: int
    shape: tuple[int, ...]
    dtype: str = "float"
    kind: str = "normal"
    low: int = 0
    high: int = 1
    data: Any = None
    seed: int = 0
    grad: bool = True
    const: bool = False

    @property
    def is_float(self) -> bool:
        return self.dtype.startswith("float")

    def array(self, dtype: str) -> np.ndarray:
        """Its numbers, in a program of that float dtype."""
        rng = np.random.default_rng(self.seed)
        n = math.prod(self.shape)
        match self.kind:
            case "ones":
                made = np.ones(self.shape)
            case "values":
                made = np.asarray(self.data).reshape(self.shape)
            case "int" | "int32":
                made = rng.integers(self.low, self.high, self.shape)
            case "bool":
                made = rng.random(self.shape) < 0.6 if self.data is None else np.asarray(self.data, bool).reshape(self.shape)
            case "positive":
                made = rng.uniform(0.5, 2.5, self.shape)
            case "unit":
                made = rng.uniform(-0.9, 0.9, self.shape)
            case "above":
                made = rng.uniform(1.25, 3.0, self.shape)
            case "fraction":
                made = rng.uniform(0.05, 0.95, self.shape)
            case "coarse":
                # Ties, and zeros of both signs.
                made = np.round(2 * rng.standard_normal(self.shape)) / 2 * rng.choice([1.0, -1.0], self.shape)
            case "wild":
                made = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e-40, 1e-30, 1.0, -2.5], self.shape)
            case "away":
                made = rng.uniform(0.3, 2.0, self.shape) * rng.choice([-1.0, 1.0], self.shape)
            case "distinct":
                made = (rng.permutation(n).reshape(self.shape) - n / 2) * 0.1
            case _:
                made = rng.standard_normal(self.shape)
        return np.asarray(made, dtype if self.dtype == "float" else self.dtype)

    def spec(self) -> Spec:
        return Spec(self.shape, self.dtype)


@dataclass(frozen=True)
class Step:
    """One op: its name, the values that it takes (None for an absent input), its options; `part` picks one of several results."""

    key: int
    op: str
    args: tuple[int | None, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    part: int | None = None


@dataclass(frozen=True)
class Program:
    """A program, and what is done with it.

    Attributes:
        kind: "graph", "trainer", "session" or "doors".
        loss: how the outputs become a scalar: "weighted", "sum" or "mean_square".
        checks: what a graph is put through.
        extra: what a trainer, a session or a door does; JSON-like.
    """

    kind: str
    dtype: str
    inputs: tuple[Input, ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    loss: str = "weighted"
    checks: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def arguments(self) -> list[Input]:
        """The inputs that are arguments, in order."""
        return [i for i in self.inputs if not i.const]

    def arrays(self) -> list[np.ndarray]:
        """The arguments' arrays."""
        return [i.array(self.dtype) for i in self.arguments]

    @property
    def uses_stream(self) -> bool:
        """Whether an op draws its seed from the stream, so that every run has other numbers."""
        return any(_unseeded(s) for s in self.steps)

    @property
    def draws(self) -> bool:
        """Whether an op makes random numbers, with a seed of the program's or without."""
        return any(_is_random(s) for s in self.steps)

    @property
    def uses_own(self) -> bool:
        """Whether a step is an op of the user's own, which has no second derivative."""
        return any(s.op in OWN for s in self.steps)

    def with_extra(self, **changes: Any) -> Program:
        return replace(self, extra={**self.extra, **changes})


def _is_random(step: Step) -> bool:
    return step.op not in composites() and step.op not in OWN and get(step.op).random


def _unseeded(step: Step) -> bool:
    return _is_random(step) and step.args[get(step.op).inputs.index("seed")] is None


def call(ops: Any, step: Step, args: list[Any]) -> Any:
    """Apply one step with the methods of a face."""
    if step.op in OWN:
        return OWN[step.op](*args)
    if step.op in composites():
        method = getattr(ops, step.op)
        made = method(step.options["spec"], *args) if step.op == "einsum" else method(*args, **step.options)
        return made if step.part is None else made[step.part]
    record = get(step.op)
    method = getattr(ops, step.op, None)
    if method is None:
        # A user's own op is on no face.
        return ops.apply(record, tuple(args), dict(step.options))
    if record.variadic:
        return method(args, **step.options)
    return method(**dict(zip(record.inputs, args, strict=True)), **step.options)


def run(program: Program, ops: Any, refs: Mapping[int, Any], wanted: tuple[int, ...] | None = None) -> list[Any]:
    """Run the steps on a face; `refs` holds the arguments by key.

    Args:
        wanted: which of the outputs, by their places; steps that these do not need are left out. None runs every step.
    """
    values = dict(refs)
    outputs = program.outputs if wanted is None else tuple(program.outputs[k] for k in wanted)
    steps = program.steps if wanted is None else needed(program, outputs)
    used = {k for s in steps for k in s.args} | set(outputs)
    for i in program.inputs:
        if i.const and i.key in used:
            array = i.array(program.dtype)
            values[i.key] = ops.const(array) if i.is_float else array
    for s in steps:
        values[s.key] = call(ops, s, [None if a is None else values[a] for a in s.args])
    return [values[k] for k in outputs]


def needed(program: Program, outputs: tuple[int, ...]) -> tuple[Step, ...]:
    """The steps that these values depend on."""
    wanted = set(outputs)
    kept = []
    for s in reversed(program.steps):
        if s.key in wanted:
            kept.append(s)
            wanted.update(a for a in s.args if a is not None)
    return tuple(reversed(kept))


def loss_of(program: Program, ops: Any, outs: list[Any], scale: float = 1.0) -> Any:
    """A scalar made of the floating-point outputs, or None where there are none."""
    total = None
    for k, y in enumerate(outs):
        if not str(y.dtype).startswith("float"):
            continue
        shape = tuple(y.shape)
        if program.loss == "weighted":
            rng = np.random.default_rng(zlib.crc32(f"{program.seed} {k} {shape}".encode()))
            term = ops.sum(ops.mul(y, ops.const(rng.uniform(0.5, 1.5, shape).astype(program.dtype))))
        elif program.loss == "mean_square" and math.prod(shape):
            term = ops.mean(ops.square(y))
        else:
            term = ops.sum(y)
        total = term if total is None else ops.add(total, term)
    return total if total is None or scale == 1.0 else ops.scale(total, scale)


def as_function(program: Program, what: str = "outputs", wanted: tuple[int, ...] | None = None) -> Callable[..., Any]:
    """The program as `f(ops, *arguments)`: its outputs (a list), its loss, or both (a pair)."""
    keys = [i.key for i in program.arguments]

    def f(ops: Any, *refs: Any) -> Any:
        outs = run(program, ops, dict(zip(keys, refs, strict=True)), wanted)
        if what == "outputs":
            return outs
        loss = loss_of(program, ops, outs)
        return loss if what == "loss" else (loss, outs)

    return f
