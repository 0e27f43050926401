"""Whether any or all elements along axes are true."""

from __future__ import annotations

from typing import Any

from ...arguments import truth
from ...dtypes import TRUTH
from ...shapes import Shape, normalize_axes, reduced
from ..reduce import runs_params
from ..registry import OpDef, defop, no_gradient, no_tangent
from ..samples import Arr, Sample, bad, good


def _samples() -> list[Sample]:
    shapes: list[tuple[Shape, dict[str, Any]]] = [
        ((3, 4), {}), ((3, 4), {"axis": 0}), ((3, 4), {"axis": 1}), ((3, 4), {"axis": (0, 1), "keepdims": True}), ((), {}),
        ((2, 3, 4), {"axis": (0, 2)}), ((2, 3, 4, 5), {"axis": (1, 3), "keepdims": True}), ((2, 0), {"axis": 1}), ((0, 3), {"axis": 1}),
        ((2, 3), {"axis": ()}), ((5, 130), {"axis": 1}), ((70, 3), {"axis": 0}), ((300, 400), {"axis": 0}), ((300, 400), {}),
    ]  # fmt: skip
    samples = [good(Arr(shape, "bool"), **options) for shape, options in shapes]
    # Of numbers every kind of what is not 0.
    samples.append(good(Arr((6,), "values", data=(0.0, -0.0, float("nan"), 0.0, 1e-30, -1.0)), axis=(), smooth=False))
    errors: list[tuple[str, dict[str, Any]]] = [
        ("IndexRangeError", {"axis": 2}),
        ("IndexRangeError", {"axis": -3}),
        ("OptionError", {"axis": (0, -2)}),
    ]
    return [*samples, *(bad(error, Arr((3, 4), "bool"), **options) for error, options in errors)]


def _reduction(name: str, doc: str) -> OpDef:
    class Reduction:
        def options(x: Shape, *, axis: Any = None, keepdims: bool = False) -> dict[str, Any]:
            return {"axis": normalize_axes(axis, len(x)), "keepdims": truth("keepdims", keepdims)}

        def shape(x: Shape, *, axis: Any, keepdims: bool) -> Shape:
            return reduced(x, axis, keepdims)

        def kernel_params(x: Shape, *, axis: Any, keepdims: bool) -> tuple[tuple[int, ...], tuple[()]]:
            """Ints: (runs, whether the first is reduced, sizes…)."""
            return runs_params(x, axis), ()

        vjp = no_gradient
        jvp = no_tangent

    Reduction.__doc__ = doc
    return defop(name, samples=_samples, dtypes={"x": TRUTH}, out_dtype="bool", differentiable=False)(Reduction)


_reduction("any", "Whether an element along the axes is true; of nothing, no.")
_reduction("all", "Whether every element along the axes is true; of nothing, yes.")
