"""Ops of the user's own, written on arrays: `custom_op`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tlean._core.array import AnyTensor, as_tensor
from tlean._core.refs import RefBase

from .backends.dual import Dual, DualRef
from .backends.eager import EagerOps, TensorRef
from .backends.reference import Reference
from .errors import NodeError, OptionError, ShapeError


class CustomOp:
    """An op of the user's own: call it with references of any backend, `y = op(x, …)`, or with plain arrays for the value alone."""

    def __init__(self, forward: Callable[..., Any], backward: Callable[..., Any], jvp: Callable[..., Any] | None, name: str) -> None:
        self.forward = forward
        self.backward = backward
        self.jvp = jvp
        self.name = name

    def __call__(self, *xs: Any) -> Any:
        ops = next((x.ops for x in xs if isinstance(x, RefBase)), None)
        if ops is None:
            return as_tensor(self.forward(*[as_tensor(x).numpy() for x in xs]))
        if isinstance(ops, EagerOps):
            return self._eager(ops, [x if isinstance(x, TensorRef) else ops.const(x) for x in xs])
        if isinstance(ops, Dual):
            return self._dual(ops, xs)
        if isinstance(ops, Reference):
            refs = [x if isinstance(x, RefBase) else ops.const(x) for x in xs]
            return ops.leaf(self.forward(*[r.value for r in refs]))
        raise OptionError(f"{self.name}: a custom op is a host call, which recorded programs do not have; use the eager backend or defop")

    def _eager(self, ops: EagerOps, refs: list[TensorRef]) -> TensorRef:
        values = [r.numpy() for r in refs]
        y = as_tensor(self.forward(*values), ops.dtype)
        if any(r.id is None for r in refs):
            return ops.add_leaf(y, False)
        ids = [r.id for r in refs]
        shapes = [r.shape for r in refs]

        def pull(g: AnyTensor) -> list[tuple[int, Any]]:
            found = self.backward(*values, y.numpy(), g.numpy())
            found = found if isinstance(found, tuple | list) else (found,)
            if len(found) != len(ids):
                raise ShapeError(f"{self.name}: backward gives one cotangent for each of the {len(ids)} inputs, got {len(found)}")
            for x, shape in zip(found, shapes, strict=True):
                if x is not None and tuple(getattr(x, "shape", ())) != shape:
                    raise ShapeError(f"{self.name}: backward gives a cotangent of shape {getattr(x, 'shape', ())} for an input of {shape}")
            return [(i, x) for i, x in zip(ids, found, strict=True) if x is not None]

        return ops.custom_node(y, ids, pull, any(r.requires_grad for r in refs), self.name)

    def _dual(self, ops: Dual, xs: Any) -> DualRef:
        refs = [x if isinstance(x, DualRef) else ops.const(x) for x in xs]
        y = self(*[r.primal for r in refs])
        if all(r.tangent is None for r in refs):
            return ops.lift(y)
        if self.jvp is None:
            raise OptionError(f"{self.name}: a directional derivative needs the op's jvp; pass jvp= to custom_op")
        values = [r.primal.numpy() for r in refs]
        tangents = [None if r.tangent is None else r.tangent.numpy() for r in refs]
        if any(isinstance(r.primal, DualRef) for r in refs):
            raise NodeError(f"{self.name}: a custom op has first derivatives only")
        return ops.lift(y, ops.inner.const(self.jvp(*values, *tangents)))

    def __repr__(self) -> str:
        return f"<custom op {self.name}>"


def custom_op(
    forward: Callable[..., Any], backward: Callable[..., Any], jvp: Callable[..., Any] | None = None, name: str | None = None
) -> CustomOp:
    """An op of the user's own, written on NumPy arrays.

    Args:
        forward: `forward(*xs)` gives the value.
        backward: `backward(*xs, y, g)` gives one cotangent per input (a tuple; a single array for one input; None = no gradient).
        jvp: `jvp(*xs, *ts)` gives the tangent of the value; a tangent is None where it is zero.
        name: shown on tapes.

    Returns: a callable on references and arrays.
    """
    return CustomOp(forward, backward, jvp, name or str(getattr(forward, "__name__", "custom")))
