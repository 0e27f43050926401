"""Ops that other ops make up, and the identity that marks a differentiation's own variable."""

from __future__ import annotations

from typing import Any

from ..dtypes import ANY
from ..errors import ShapeError, complete, describe
from ..shapes import Shape
from .registry import array, composite, defop


@defop("_identity", view=True, dtypes={"x": ANY}, out_dtype=ANY)
class Identity:
    """The same value under its own name: two identities of one value are two variables of differentiation."""

    def shape(x: Shape) -> Shape:
        return x

    def vjp(ops: Any, g: Any, y: Any, x: Any) -> tuple[Any]:
        return (g,)

    def jvp(ops: Any, t: Any, y: Any, x: Any) -> Any:
        return t[0]


def _global_avg_pool(ops: Any, x: Any, op: str, axes: tuple[int, ...], form: str, name: str | None) -> Any:
    x = array(ops, x, f"{op}: x")
    if len(x.shape) != len(axes) + axes[0]:
        raise complete(ShapeError(f"x has the shape {form}"), op, [describe("x", tuple(x.shape), x.dtype)])
    return ops.reduce_mean(x, axes, name=name)


@composite
def global_avg_pool2d_chw(ops: Any, x: Any, name: str | None = None) -> Any:
    """The mean of each channel: (C, H, W) → (C,)."""
    return _global_avg_pool(ops, x, "global_avg_pool2d_chw", (1, 2), "(C, H, W)", name)


@composite
def global_avg_pool2d_nchw(ops: Any, x: Any, name: str | None = None) -> Any:
    """The mean of each channel of each image: (N, C, H, W) → (N, C)."""
    return _global_avg_pool(ops, x, "global_avg_pool2d_nchw", (2, 3), "(N, C, H, W)", name)
