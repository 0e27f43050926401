"""Clipping of gradients, by the norm of all of them or element by element."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tlean import arguments
from tlean.devices import array_at, context_at, cuda
from tlean.interpreters.eager import EagerOps, without_tape
from tlean.optim.gradients import Gradients

from .updates import limit, number


def clipped(ops: Any, grads: Sequence[Any], max_norm: float) -> tuple[list[Any], Any]:
    """Gradients times min(1, max_norm / (‖all of them‖₂ + 1e-6)), and the norm: on any backend. Without a bound they stay as they are.

    Source: Pascanu, Mikolov, Bengio 2013, algorithm 1; the 1e-6 is PyTorch's.
    """
    if not grads:
        return [], None
    total = ops.sum(ops.square(grads[0]))
    for g in grads[1:]:
        total = ops.add(total, ops.sum(ops.square(g)))
    norm = ops.sqrt(total)
    if math.isinf(max_norm):
        return list(grads), norm
    factor = ops.clamp(ops.scale(ops.inv(ops.shift(norm, 1e-6)), max_norm), 0.0, 1.0)
    return [ops.mul(g, ops.broadcast_to(factor, g.shape)) for g in grads], norm


def _changed(grads: Any, change: Any) -> tuple[Any, Any]:
    # Gradients in the form they came in, each changed by `change(ops, refs)`, which returns references and one result more; those of a
    # session's backward pass, which has one for every node, by parameter.
    if isinstance(grads, Gradients):
        grads = grads.session._by_param(grads)
    if isinstance(grads, Mapping):
        keys, values = list(grads), list(grads.values())
    else:
        keys, values = None, list(arguments.each("clip", "gradients", grads))
    present = [k for k, g in enumerate(values) if g is not None]
    given = [values[k] for k in present]
    where = next(filter(None, map(context_at, given)), None)
    dtype = "float64" if any(str(getattr(g, "dtype", "")) == "float64" for g in given) else "float32"
    ops: Any = EagerOps(dtype) if where is None else cuda().CudaEager(where)
    made, result = without_tape(lambda: change(ops, [ops.add_leaf(array_at(g, dtype, where), False) for g in given]))
    for k, ref in zip(present, made, strict=True):
        values[k] = ref.value
    return (values if keys is None else dict(zip(keys, values, strict=True))), result


def clip_by_norm(grads: Any, max_norm: float) -> tuple[Any, float]:
    """Gradients times min(1, max_norm / (norm + 1e-6)), where norm is the Euclidean norm of all of them together.

    Args:
        grads: a dict or a sequence of arrays, None stays None; or a session's gradients, of which those of parameters are meant.
        max_norm: at least 0; infinity leaves the gradients as they are, and measures their norm.

    Returns: the gradients in the same form (a session's: by parameter), and the norm that they had.
    Source: Pascanu, Mikolov, Bengio 2013, algorithm 1; the 1e-6 is PyTorch's.
    """
    bound = limit("max_norm", max_norm)

    def change(ops: Any, refs: list[Any]) -> tuple[list[Any], float]:
        if not refs:
            return [], 0.0
        made, norm = clipped(ops, refs, bound)
        return made, norm.item()

    return _changed(grads, change)


def clip_by_value(grads: Any, clip_value: float) -> Any:
    """Gradients with every element brought into [−clip_value, clip_value].

    Args:
        grads: a dict or a sequence of arrays, None stays None; or a session's gradients, of which those of parameters are meant.
        clip_value: at least 0.

    Returns: the gradients in the same form (a session's: by parameter).
    """
    bound = number("clip_value", clip_value)
    return _changed(grads, lambda ops, refs: ([ops.clamp(g, -bound, bound) for g in refs], None))[0]
