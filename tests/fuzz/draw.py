"""Programs drawn from the registry's samples: each step is a call like one of a record's samples, on values that the program already has.

The reference runs along, so that numbers stay finite and calls that raise are not drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tlean.errors import TleanError
from tlean.ops import OpDef, Spec, all_ops
from tlean.ops.formulas.vocabulary import VOCABULARY
from tlean.ops.registry import get
from tlean.ops.samples import Arr, Sample
from tlean.reference.interpreter import Reference

from .options import draw_options
from .program import Input, Step, call

#: Structure that plans get wrong more often than arithmetic: views, spreads, sums. Every other record weighs 1.
WEIGHTS = {
    "reshape": 4.0,
    "flatten": 4.0,
    "broadcast_to": 6.0,
    "detach": 2.0,
    "sum": 3.0,
    "mean": 2.0,
    "reduce_sum": 3.0,
    "slice": 2.0,
    "slice_range0": 2.0,
    "permute": 2.0,
    "concat": 3.0,
    "stack": 3.0,
    "mul": 4.0,
    "add": 4.0,
    "square": 2.0,
    "exp": 2.0,
}
#: Of values; a larger one is not used again before something has made it small.
LARGE = 1e3
INTEGERS = ("int64", "int32", "bool")


#: Records that `x.at[key]` is made of: drawn as the public ones are.
WRITERS = ("_set_rows", "_scatter_into", "_set_box", "_take_box")


def records() -> list[OpDef]:
    """The public records, and those of `x.at[key]`: every one of them must be drawn."""
    return [r for r in all_ops() if (not r.internal or r.name in WRITERS) and r.samples and len(r.outputs) == 1]


def good_samples(record: OpDef) -> list[Sample]:
    assert record.samples is not None
    return [s for s in record.samples() if not s.raises]


class Builder:
    """A program under construction, with the reference's values of everything in it.

    Args:
        limit: the most elements that a value may have.
    """

    def __init__(self, rng: np.random.Generator, dtype: str, limit: int) -> None:
        self.rng, self.dtype, self.limit = rng, dtype, limit
        self.inputs: list[Input] = []
        self.steps: list[Step] = []
        self.specs: dict[int, Spec] = {}
        self.refs: dict[int, Any] = {}
        self._calm: set[int] = set()
        self.reference = Reference("float64")
        #: Whether numbers may be anything: NaN, infinities, overflow.
        self.wild = False
        #: Inputs whose first axis is a batch of samples, of which a call may have fewer.
        self.batch: list[int] = []

    # Values -----------------------------------------------------------------------------------------------------------------

    def _next(self) -> int:
        return len(self.specs)

    def input(self, shape: Sequence[int], arr: Arr | None = None, **changes: Any) -> int:
        """A new input of that shape, with numbers as `arr` says."""
        rng = self.rng
        arr = arr or Arr(tuple(shape))
        kind, low, high, data = arr.kind, arr.low, arr.high, arr.data
        dtype = "float"
        if kind in ("int", "int32", "bool"):
            dtype = {"int": "int64"}.get(kind, kind)
        elif kind == "values":
            given = np.asarray(data)
            dtype = "float" if given.dtype.kind == "f" else "bool" if given.dtype.kind == "b" else "int64"
            if tuple(arr.shape) != tuple(shape):
                # Numbers that were written for another shape: draw from their range.
                top = int(given.max(initial=0)) + 1 if dtype == "int64" else 1
                kind, low, high, data = ("int", 0, max(1, top), None) if dtype == "int64" else ("normal", 0, 1, None)
            else:
                data = given.tolist()
        whole = dtype != "float"
        if kind == "normal" and rng.random() < (0.4 if self.wild else 0.08):
            kind = "wild" if self.wild else "coarse"
        settings: dict[str, Any] = {
            "grad": not whole and rng.random() < 0.8,
            "const": rng.random() < (0.5 if whole else 0.06),
        }
        settings.update(changes)
        made = Input(self._next(), tuple(map(int, shape)), dtype, kind, low, high, data, int(rng.integers(1 << 30)), **settings)
        self.inputs.append(made)
        self._keep(made.key, made.spec(), self.reference.const(made.array("float64")))
        return made.key

    def _keep(self, key: int, spec: Spec, ref: Any) -> None:
        self.specs[key], self.refs[key] = spec, ref
        if spec.dtype not in INTEGERS and _calm(np.asarray(ref.value), LARGE):
            self._calm.add(key)

    def number(self, key: int) -> np.ndarray:
        """The reference's value."""
        return np.asarray(self.refs[key].value)

    def floats(self, shape: Sequence[int] | None = None) -> list[int]:
        """The keys of floating-point values (of that shape) that are finite and not large."""
        wanted = None if shape is None else tuple(shape)
        return [
            k
            for k, s in self.specs.items()
            if (wanted is None or s.shape == wanted) and (k in self._calm or (self.wild and s.dtype not in INTEGERS))
        ]

    def pick(self, among: Sequence[int]) -> int:
        """One of the keys, the latest more often."""
        tail = among[-6:] if self.rng.random() < 0.6 else among
        return int(tail[self.rng.integers(len(tail))])

    # Steps ------------------------------------------------------------------------------------------------------------------

    def step(self, op: str, args: Sequence[int | None], part: int | None = None, /, **options: Any) -> int | None:
        """Append a call if it is one: None where it raises, or makes too much or nothing that a program goes on with."""
        given = [None if a is None else self.refs[a] for a in args]
        try:
            if part is None:
                record = get(op)
                specs = tuple(None if a is None else self.specs[a] for a in args)
                _, outs = record.infer(specs, dict(options))
                if not _plain(record, specs):
                    return None
                # Windows, and functions by series, are loops in the reference.
                slow = "stride" in options or "kernel" in options or (op in VOCABULARY and VOCABULARY[op].cost > 60)
                if outs[0].size > (min(self.limit, 16_384) if slow else self.limit):
                    return None
                with np.errstate(all="ignore"):
                    made = self.reference.apply(op, given, dict(options))
                spec = outs[0]
            else:
                made = call(self.reference, Step(-1, op, tuple(args), options), given)
                made = made if part < 0 else made[part]
                spec = Spec(tuple(made.shape))
        except TleanError:
            return None
        value = np.asarray(made.value)
        if value.size > self.limit or (not self.wild and not _calm(value, 1e6) and self.rng.random() > 0.02):
            return None
        key = self._next()
        self.steps.append(Step(key, op, tuple(args), dict(options), None if part is None or part < 0 else part))
        self._keep(key, spec, made)
        return key

    def fitted(self, shape: Sequence[int], arr: Arr, fresh: float = 0.25) -> int:
        """A value of that shape whose numbers suit `arr`: one that is there, made of one, or a new input."""
        shape = tuple(shape)
        size = math.prod(shape)
        there = self.floats(shape)
        if there and self.rng.random() > fresh:
            return self.suited(self.pick(there), arr)
        pool = self.floats()
        if pool and size and self.rng.random() > 2 * fresh:
            made = self.reshaped(self.pick(pool), shape)
            if made is not None:
                return self.suited(made, arr)
        return self.input(shape, arr)

    def reshaped(self, key: int, shape: tuple[int, ...]) -> int | None:
        """The value as another shape: a view where sizes agree, a part where it is larger, a spread of its sum where it is smaller."""
        spec, size = self.specs[key], math.prod(shape)
        if spec.size == size:
            return self.step("reshape", [key], shape=shape)
        if spec.size > size:
            flat = self.step("flatten", [key])
            start = int(self.rng.integers(spec.size - size + 1))
            part = None if flat is None else self.step("slice_range0", [flat], start=start, length=size)
            return None if part is None else self.step("reshape", [part], shape=shape)
        if not spec.size:
            return None
        total = self.step(("sum", "mean")[self.rng.integers(2)], [key])
        return None if total is None else self.step("broadcast_to", [total], shape=shape)

    def suited(self, key: int, arr: Arr) -> int:
        """The value, or one made of it whose numbers are of `arr`'s kind."""
        x = self.number(key)
        if not x.size or self.wild:
            return key
        made: int | None = key
        if (arr.kind == "positive" and x.min() < 0.05) or (arr.kind == "away" and np.abs(x).min() < 0.05):
            op = ("softplus", "square", "abs", "sigmoid")[self.rng.integers(4)]
            inner = self.step(op, [key])
            made = None if inner is None else self.step("shift", [inner], c=0.3)
        elif arr.kind == "unit" and np.abs(x).max() > 0.95:
            inner = self.step(("tanh", "sin")[self.rng.integers(2)], [key])
            made = None if inner is None else self.step("scale", [inner], c=0.9)
        elif arr.kind == "above" and x.min() < 1.2:
            inner = self.step("softplus", [key])
            made = None if inner is None else self.step("shift", [inner], c=1.25)
        elif arr.kind == "fraction" and not (x.min() > 0.02 and x.max() < 0.98):
            inner = self.step("sigmoid", [key])
            inner = None if inner is None else self.step("scale", [inner], c=0.9)
            made = None if inner is None else self.step("shift", [inner], c=0.05)
        elif np.abs(x).max() > 30:
            made = self.step("tanh", [key])
        return key if made is None else made

    def draw(self, record: OpDef) -> int | None:
        """Append a call of the record, preferably on values that are there."""
        samples = good_samples(record)
        for attempt in range(6):
            sample = samples[self.rng.integers(len(samples))]
            before = len(self.specs), len(self.inputs), len(self.steps)
            arrs = [a if a is None or isinstance(a, Arr) else Arr(tuple(a)) for a in sample.args]
            made = self._call(record, sample, arrs, attempt)
            if made is not None:
                return made
            self._undo(*before)
        return None

    def _undo(self, values: int, inputs: int, steps: int) -> None:
        for key in range(values, len(self.specs)):
            del self.specs[key], self.refs[key]
            self._calm.discard(key)
        del self.inputs[inputs:], self.steps[steps:]

    def _call(self, record: OpDef, sample: Sample, arrs: list[Arr | None], attempt: int) -> int | None:
        rng = self.rng
        # Where a Boolean is taken, so is any number.
        taken = [record.dtypes.get(n) for n in record.inputs] if not record.variadic else []
        arrs = [Arr(a.shape) if a and k < len(taken) and taken[k] == "truth" else a for k, a in enumerate(arrs)]
        shapes: list[tuple[int, ...] | None] = [None if a is None else tuple(a.shape) for a in arrs]
        options = dict(sample.options)
        if attempt < 5:
            shapes = self._moved(record, shapes, arrs)
        first = next((s for s in shapes if s is not None), ())
        if options and attempt < 3:
            options = draw_options(options, first, shapes, rng)
        if record.variadic:
            shapes, arrs = self._several(shapes, arrs)
        if any(s is not None and math.prod(s) > self.limit for s in shapes):
            return None
        names = record.input_names(len(shapes)) if record.variadic else record.inputs
        specs = tuple(None if s is None else Spec(s, _dtype(a)) for s, a in zip(shapes, arrs, strict=True))
        specs += (None,) * (0 if record.variadic else len(record.inputs) - len(specs))
        if record.name == "argmax":
            # The free function of that name has another default.
            options = {"axis": -1, **options}
        try:
            record.infer(specs, dict(options))
        except TleanError:
            return None
        if not _plain(record, specs):
            return None
        args: list[int | None] = []
        for name, shape, arr in zip(names, shapes, arrs, strict=False):
            absent = name in record.optional and rng.random() < (0.5 if record.random else 0.2)
            if shape is None or arr is None or absent:
                args.append(None)
            elif name.partition("[")[0] in record.whole_inputs:
                args.append(self._whole(shape, arr))
            else:
                args.append(self.fitted(shape, arr, 0.25 if len(shapes) < 8 else 0.1))
        args += [None] * (len(specs) - len(args))
        return self.step(record.name, args, **options)

    def _whole(self, shape: tuple[int, ...], arr: Arr) -> int:
        top = arr.high if arr.data is None else int(np.max(np.asarray(arr.data), initial=0)) + 1
        there = [
            k for k, s in self.specs.items()
            if s.dtype == "int64" and s.shape == shape and self.number(k).size and 0 <= self.number(k).min() <= self.number(k).max() < top
        ]  # fmt: skip
        if there and arr.kind != "bool" and self.rng.random() < 0.4:
            return self.pick(there)
        return self.input(shape, arr)

    def _moved(self, record: OpDef, shapes: list[Any], arrs: list[Arr | None]) -> list[Any]:
        # The sample's shapes with other sizes, equal ones for equal ones: those of a value that is there, or drawn.
        rng = self.rng
        present = [k for k, (s, a) in enumerate(zip(shapes, arrs, strict=True)) if s is not None and _dtype(a) == "float"]
        if not present:
            return shapes
        pool = self.floats()
        if pool and len({shapes[k] for k in present}) == 1 and rng.random() < 0.75:
            # All of one shape: any shape will do.
            shape = self.specs[self.pick(pool)].shape
            return [shape if k in present else s for k, s in enumerate(shapes)]
        k = present[rng.integers(len(present))]
        fitting = [p for p in pool if len(self.specs[p].shape) == len(shapes[k])]
        to = self.specs[self.pick(fitting)].shape if fitting and rng.random() < 0.7 else None
        sizes: dict[int, int] = {}
        for i, d in enumerate(shapes[k]):
            sizes.setdefault(d, to[i] if to is not None else int(rng.choice([d, d, 1, 2, 3, 4, 5, 7, 8, 16, 17, 33])))
        if record.integer:
            # Indices stay in range where nothing shrinks.
            sizes = {d: max(d, n) for d, n in sizes.items()}
        return [None if s is None else tuple(sizes.get(d, d) for d in s) for s in shapes]

    def _several(self, shapes: list[Any], arrs: list[Arr | None]) -> tuple[list[Any], list[Arr | None]]:
        # A variadic op takes few arrays, or, now and then, very many.
        rng = self.rng
        count = len(shapes) if rng.random() < 0.6 else int(rng.integers(1, 6)) if rng.random() < 0.7 else int(rng.integers(60, 140))
        picks = [k % len(shapes) if k < len(shapes) else int(rng.integers(len(shapes))) for k in range(count)]
        return [shapes[k] for k in picks], [arrs[k] for k in picks]


def _plain(record: OpDef, specs: Sequence[Spec | None]) -> bool:
    # Whether nothing is converted: integers are where the op takes just these, floats elsewhere.
    names = record.input_names(len(specs))
    return all(
        s is None or (s.dtype == record.dtypes.get(n, s.dtype) if n in record.whole_inputs else s.dtype not in INTEGERS)
        for n, s in zip(names, specs, strict=True)
    )


def _dtype(arr: Arr | None) -> str:
    if arr is None or arr.kind not in ("int", "int32", "bool", "values"):
        return "float"
    if arr.kind == "values":
        kind = np.asarray(arr.data).dtype.kind
        return {"f": "float", "b": "bool"}.get(kind, "int64")
    return {"int": "int64"}.get(arr.kind, arr.kind)


def _calm(x: np.ndarray, largest: float) -> bool:
    return x.dtype.kind != "f" or not x.size or bool(np.isfinite(x).all() and np.abs(x).max() <= largest)
