"""The reference as an oracle: values in float64, and how far rounding can move them.

A program is run again with every op's result shaken by about what a kernel may be off. Where that moves the outputs far, the program is
chaotic (a comparison near a tie, a division by almost nothing) and says nothing about the kernels: it is skipped and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tlean.errors import TleanError
from tlean.ops import get
from tlean.reference.interpreter import Reference, ReferenceRef

from .program import Program, run

#: About what one op may be off, relative to its result.
ROUNDING = {"float32": 1e-6, "float64": 1e-14}
#: How much of the shaking is allowed, and the least tolerance, both relative to the largest value.
FACTOR = 40.0
LEAST = {"float32": 2e-5, "float64": 1e-11}
#: A tolerance beyond this share of the largest value proves nothing.
CHAOS = 0.05


class Shaken(Reference):
    """The reference in float64, with every result moved at random by a relative `eps`; random numbers are those of the program's dtype."""

    def __init__(self, dtype: str, eps: float, seed: int) -> None:
        super().__init__("float64")
        self._low = Reference(dtype)
        self._eps, self._rng, self._rounds = eps, np.random.default_rng(seed), seed % 2 == 0
        self.largest = 0.0
        self.finite = True

    def apply(self, op: Any, inputs: Any, options: dict[str, Any], name: str | None = None) -> Any:
        """The op, then the shaking."""
        record = get(op)
        if record.random:
            given = [np.asarray(x.value) if isinstance(x, ReferenceRef) else x for x in inputs]
            return ReferenceRef(self, np.asarray(self._low.apply(op, given, options).value, np.float64))
        made = super().apply(op, inputs, options, name)
        for r in made if isinstance(made, tuple) else (made,):
            v = r.value
            if v.dtype.kind != "f" or not v.size:
                continue
            self.finite &= bool(np.isfinite(v).all())
            top = float(np.abs(v).max())
            self.largest = max(self.largest, top) if np.isfinite(top) else self.largest
            if self._eps and not record.view and np.isfinite(top):
                moved = v + self._eps * (np.abs(v) + 0.2 * top) * self._rng.standard_normal(v.shape)
                # Every other run rounds too: values that differ by less come out equal, which comparisons see.
                r.value = moved.astype(self._low.dtype).astype(np.float64) if self._rounds else moved
        return made


@dataclass
class Expected:
    """The outputs by definition and a tolerance for each, None where nothing can be said."""

    values: list[np.ndarray]
    tolerances: list[float | None]


def _run(program: Program, arrays: list[np.ndarray], eps: float, seed: int) -> tuple[list[np.ndarray], Shaken]:
    ops = Shaken(program.dtype, eps, seed)
    refs = {i.key: ops.const(a) for i, a in zip(program.arguments, arrays, strict=True)}
    with np.errstate(all="ignore"):
        return [np.asarray(y.value if isinstance(y, ReferenceRef) else y) for y in run(program, ops, refs)], ops


def expected(program: Program, runs: int = 2, harder: float = 1.0) -> Expected | None:
    """The reference's outputs, or None where a value on the way is not finite or leaves float32's range."""
    # The numbers that the program itself is given: rounded to its dtype.
    arrays = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in program.arrays()]
    values, ops = _run(program, arrays, 0.0, 0)
    if not ops.finite or ops.largest > 1e30:
        return None
    off = [0.0] * len(values)
    for k in range(runs):
        try:
            moved, _ = _run(program, arrays, harder * ROUNDING[program.dtype], k + 1)
        except TleanError:
            # An index that comes from a comparison, and is out of range now.
            return None
        for j, (a, b) in enumerate(zip(values, moved, strict=True)):
            if a.size:
                d = float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())
                off[j] = max(off[j], d if np.isfinite(d) else np.inf)
    tolerances: list[float | None] = []
    for v, d in zip(values, off, strict=True):
        scale = float(np.abs(v.astype(np.float64)).max()) if v.size else 0.0
        tolerance = FACTOR * d + LEAST[program.dtype] * scale + 1e-30
        tolerances.append(None if v.size and tolerance > CHAOS * max(scale, 1e-3) else tolerance)
    return Expected(values, tolerances)


def off_by(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest distance between two arrays, inf where one is no number or the shapes differ."""
    if found.shape != wanted.shape:
        return np.inf
    if not found.size:
        return 0.0
    d = np.abs(found.astype(np.float64) - wanted.astype(np.float64))
    return float(d.max()) if np.isfinite(d).all() else np.inf
