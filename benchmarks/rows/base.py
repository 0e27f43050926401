"""The rows: what is measured, on arrays that both libraries get alike.

An op row is one function over tlean's `ops` and the same computation in PyTorch; the harness measures it forward alone and forward with
backward. Rows of other kinds build what they time themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

FORWARD, RECORDED, BOTH, STEP = "forward", "recorded", "forward+backward", "step"
OVERHEAD = (FORWARD, RECORDED, BOTH)


@dataclass(frozen=True)
class Work:
    """What a call of a row must do: operations, and bytes that it reads and writes if everything in between stays in registers."""

    flops: float
    reads: float
    writes: float

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.flops / max(self.reads + self.writes, 1.0)


@dataclass(frozen=True)
class Row:
    """One measured thing.

    `ours(ops, *refs)` and `theirs(torch, *tensors)` compute the same from `arrays(rng)`. Floating-point arrays take gradients except those
    at the positions `frozen`. `same=False`: the results are random and not compared. `numpys(*arrays)`: NumPy's way, where it is compared.
    """

    name: str
    family: str
    arrays: Callable[[np.random.Generator], list[np.ndarray]]
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    modes: tuple[str, ...] = (FORWARD, BOTH)
    frozen: tuple[int, ...] = ()
    same: bool = True
    numpys: Callable[..., Any] | None = None


@dataclass(frozen=True)
class StepRow:
    """A whole training step: `ours()` and `theirs()` return a function that makes one step and returns the loss, or the parameters.

    `work()`, where it is known, says what a step asks of the machine (see limits.py).
    """

    name: str
    family: str
    ours: Callable[[], Callable[[], float]]
    theirs: Callable[[], Callable[[], float]]
    modes: tuple[str, ...] = (STEP,)
    same: bool = True
    work: Callable[[], Work] | None = None


def _draw(kind: str, shape: tuple[int, ...]) -> Callable[[np.random.Generator], np.ndarray]:
    if kind == "positive":
        return lambda rng: (0.5 + 2 * rng.random(shape)).astype(np.float32)
    if kind.startswith("below "):
        return lambda rng: rng.integers(0, int(kind[6:]), shape)
    return lambda rng: rng.standard_normal(shape).astype(np.float32)


def op_row(name: str, family: str, specs: list[Any], ours: Callable[..., Any], theirs: Callable[..., Any], **rest: Any) -> Row:
    """A row whose arrays are given as shapes (N(0, 1)) or (kind, shape)."""
    draws = [_draw(*s) if isinstance(s[0] if s else 0, str) else _draw("normal", s) for s in specs]
    return Row(name, family, lambda rng: [d(rng) for d in draws], ours, theirs, **rest)
