"""Nests: transformations inside one another, drawn from a number, and the function of a vector that each describes, over any library.

It imports no library: JAX's side runs in a separate Python. A library is an object with the methods of `Library`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Function = Callable[[Any], Any]

SIZE, STEPS, LANES, DEPTH = 3, 3, 2, 3
_RNG = np.random.default_rng(20)
XS = _RNG.normal(size=(STEPS, SIZE))
W = _RNG.normal(size=(SIZE, SIZE)) * 0.5
TABLE = _RNG.normal(size=(STEPS + 2, SIZE)) * 0.5
SCALES = 1.0 + 0.2 * _RNG.normal(size=(LANES, SIZE))
#: Directions of the derivatives.
DIRECTIONS = _RNG.normal(size=(2, SIZE)) * 0.7
WEIGHTS = np.array([1.0, -0.5, 0.7])

TRANSFORMS = ("grad", "jvp", "vmap", "scan", "cond", "checkpoint", "jit")
LEAVES = ("sin", "tanh", "matmul", "scale", "square", "softplus")
#: What every third nest has besides: random numbers, an array that it captures, an integer that a loop hands on.
EXTRAS = ("random", "captured", "integer")


@dataclass(frozen=True)
class Nest:
    """A transformation, its variant, the nest inside, and the op beside it; a leaf has none inside."""

    what: str
    variant: int
    inside: Nest | None
    beside: str

    def words(self) -> str:
        """As one reads it: the outermost first."""
        here = f"{self.what}{self.variant or ''}[{self.beside}]"
        return here if self.inside is None else f"{here}({self.inside.words()})"


@dataclass(frozen=True)
class Case:
    """A nest, the derivatives' modes (`jvp` or `grad` for the first and the second) and where it is evaluated."""

    index: int
    nest: Nest
    modes: tuple[str, str]
    extra: str
    seed: int
    x: np.ndarray

    def words(self) -> str:
        """The nest, what it has besides, and the modes."""
        return f"{self.index}: {self.nest.words()}{f' with {self.extra}' if self.extra else ''}; {', '.join(self.modes)}"


def case(index: int, transforms: tuple[str, ...] = TRANSFORMS) -> Case:
    """The nest of that number."""
    rng = random.Random(index)
    extra = rng.choice(EXTRAS) if index % 3 == 0 else ""
    inside: Nest | None = Nest("leaf", 0, None, rng.choice(LEAVES))
    chosen = [rng.choice(transforms) for _ in range(DEPTH)]
    if extra == "integer" and "scan" not in chosen:
        chosen[rng.randrange(DEPTH)] = "scan"
    # What the extra goes into: the innermost place that it is allowed in.
    place = next((k for k, what in enumerate(chosen) if what == "scan"), 0) if extra == "integer" else rng.randrange(DEPTH)
    if extra == "random":
        # Outside of lanes a seed says which numbers they are, the same in each step of a loop.
        place = rng.randrange(max((k for k, what in enumerate(chosen) if what == "vmap"), default=-1) + 1, DEPTH + 1)
    for k, what in enumerate(chosen):
        variant = rng.randrange(4 if what == "scan" else 2)
        beside = rng.choice(LEAVES)
        if extra and k == place:
            variant, beside = (4, beside) if extra == "integer" else (variant, extra)
        inside = Nest(what, variant, inside, beside)
    assert inside is not None
    if extra == "random" and place == DEPTH:
        inside = Nest("then", 0, inside, extra)
    modes = (rng.choice(("jvp", "grad")), rng.choice(("jvp", "grad")))
    return Case(index, inside, modes, extra, 100 + index, np.random.default_rng(index).normal(size=SIZE))


class Library(Protocol):
    """What a nest is written with. Loops, choices and transformations have tlean's meaning; `noise` are the numbers of a seed."""

    def array(self, x: np.ndarray) -> Any: ...
    def op(self, name: str, x: Any) -> Any: ...
    def total(self, x: Any) -> Any: ...
    def rows(self, x: Any) -> Any: ...
    def row(self, table: Any, i: Any) -> Any: ...
    def noise(self, seed: int) -> Any: ...
    def integer(self, i: Any) -> Any: ...
    def scan(self, f: Any, init: Any, xs: Any, length: int, reverse: bool) -> Any: ...
    def repeat(self, f: Function, x: Any, steps: int) -> Any: ...
    def until(self, f: Function, x: Any, steps: int) -> Any: ...
    def cond(self, pred: Any, f: Function, g: Function, x: Any) -> Any: ...
    def grad(self, f: Function) -> Function: ...
    def jvp(self, f: Function, x: Any, v: Any) -> Any: ...
    def vmap(self, f: Function, axis: int) -> Function: ...
    def jit(self, f: Function) -> Function: ...
    def checkpoint(self, f: Function) -> Function: ...


def _leaf(lib: Library, what: str, seed: int) -> Function:
    plain: dict[str, Function] = {
        "matmul": lambda x: lib.array(W) @ x,
        "scale": lambda x: x * 0.7,
        "square": lambda x: x * x * 0.3,
        "captured": lambda x: lib.op("tanh", x) * lib.array(TABLE[1]),
        "random": lambda x: lib.op("sin", x) + x * lib.noise(seed) * 0.3,
    }
    return plain.get(what) or (lambda x: lib.op(what, x))


def _scan(lib: Library, variant: int, f: Function, g: Function) -> Function:
    def plain(x: Any) -> Any:
        last, ys = lib.scan(lambda c, z: (lib.op("tanh", f(c) + z), g(c) * x), x, lib.array(XS), STEPS, False)
        return last + lib.rows(ys) * 0.5

    def reverse(x: Any) -> Any:
        last, ys = lib.scan(lambda c, z: (lib.op("sin", f(c)) * z, c + z), x, lib.array(XS), STEPS, True)
        return last + g(x) * lib.rows(ys) * 0.1

    def repeat(x: Any) -> Any:
        return lib.repeat(lambda c: lib.op("tanh", f(c)) + g(x) * 0.5, x, STEPS)

    def until(x: Any) -> Any:
        return lib.until(lambda c: lib.op("tanh", f(c)) * 0.9 + x * 0.2, g(x), STEPS)

    def integer(x: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            c, i = carry
            return (lib.op("tanh", f(c)) + lib.row(lib.array(TABLE), i) * 0.5 + lib.integer(i) * 0.1, i + 1), c * 0.5

        (last, count), ys = lib.scan(step, (x, 1), None, STEPS, False)
        return last * lib.integer(count) * 0.3 + lib.rows(ys) + g(x)

    return (plain, reverse, repeat, until, integer)[variant]


def function(lib: Library, nest: Nest, seed: int) -> Function:
    """The function of a vector that a nest describes."""
    g = _leaf(lib, nest.beside, seed)
    if nest.inside is None:
        return g
    f = function(lib, nest.inside, seed)
    variant = nest.variant

    def vmap(x: Any) -> Any:
        if variant:
            return lib.rows(lib.vmap(lambda r: f(r) * g(x), 0)(lib.array(SCALES) * x)) * 0.5
        # Lanes along the last axis, on both sides.
        return f(x) * 0.3 + (lib.vmap(lambda r: lib.op("sin", f(r)), 1)(x[:, None] * lib.array(SCALES.T)) * g(x)[:, None])[:, 1]

    def cond(x: Any) -> Any:
        return lib.cond(lib.total(x * lib.array(WEIGHTS)) > 0.2, *((f, g) if variant else (g, f)), x)

    return {
        "grad": lambda x: lib.grad(lambda z: lib.total(f(z) * (g(x) if variant else g(z))))(x) * 0.5,
        "jvp": lambda x: lib.jvp(f, x, g(x)) if variant else lib.jvp(lambda z: f(z) * x, g(x), lib.array(WEIGHTS)),
        "vmap": vmap,
        "scan": _scan(lib, variant, f, g),
        "cond": cond,
        "checkpoint": lambda x: lib.checkpoint(lambda z: f(z) * g(z))(x) if variant else lib.checkpoint(lambda z: f(z) + x)(g(x)),
        "jit": lambda x: lib.jit(f)(x) + g(x) if variant else lib.jit(lambda z: f(g(z)))(x),
        "then": lambda x: f(g(x)),
    }[nest.what]


def results(lib: Library, drawn: Case) -> list[Function]:
    """Functions of x: the value, and the gradients of a number, of its derivative along a direction, and of that one's along another."""
    f = function(lib, drawn.nest, drawn.seed)

    def number(x: Any) -> Any:
        return lib.total(lib.op("sin", f(x)) * lib.array(WEIGHTS))

    def along(h: Function, mode: str, v: np.ndarray) -> Function:
        if mode == "jvp":
            return lambda x: lib.jvp(h, x, lib.array(v))
        return lambda x: lib.total(lib.grad(h)(x) * lib.array(v))

    first = along(number, drawn.modes[0], DIRECTIONS[0])
    second = along(first, drawn.modes[1], DIRECTIONS[1])
    return [f, lib.grad(number), lib.grad(first), lib.grad(second)]
