"""What derivatives read beside results, of ops that are written by their parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tlean.compiler.derive import decomposition
from tlean.compiler.graph import Graph, GraphRef
from tlean.compiler.signature import Signature

#: (ops, inputs…, the specs of the residuals, options…) -> the residuals.
RESIDUALS: dict[str, Callable[..., Any]] = {}


def _statistics(ops: Any, x: Any, axes: tuple[int, ...], eps: float) -> tuple[Any, Any]:
    # The mean, and 1/√(variance + ε).
    kept = tuple(a for a in range(len(x.shape)) if a not in axes)
    mean = ops.reduce_mean(x, axis=axes)
    deviation = ops.sub(x, ops.broadcast_to(mean, shape=tuple(x.shape), axis_map=kept))
    variance = ops.reduce_mean(ops.square(deviation), axis=axes)
    return mean, ops.inv(ops.sqrt(ops.shift(variance, c=eps)))


def _layer(ops: Any, specs: Any, x: Any, *_: Any, eps: float) -> tuple[Any, ...]:
    made = _statistics(ops, x, (len(x.shape) - 1,), eps)
    return tuple(ops.reshape(m, shape=s.shape) for m, s in zip(made, specs, strict=True))


def _batch(ops: Any, specs: Any, x: Any, *_: Any, eps: float) -> tuple[Any, ...]:
    channel = 0 if len(x.shape) == 3 else 1
    return _statistics(ops, x, tuple(a for a in range(len(x.shape)) if a != channel), eps)


def _cross_entropy(ops: Any, specs: Any, logits: Any, *_: Any, **options: Any) -> tuple[Any, Any]:
    last = len(logits.shape) - 1
    top = ops.reduce_max(logits, axis=last)
    apart = ops.sub(logits, ops.broadcast_to(top, shape=tuple(logits.shape), axis_map=tuple(range(last))))
    return top, ops.log(ops.reduce_sum(ops.exp(apart), axis=last))


def _hints(ops: Any, specs: Any, *_: Any, **options: Any) -> tuple[Any, ...]:
    # What is written by its parts reads no hint.
    return tuple(ops._full(shape=s.shape, value=0.0, dtype=s.dtype) for s in specs)


RESIDUALS["layer_norm"] = _layer
RESIDUALS["batchnorm_channel_first"] = _batch
RESIDUALS["cross_entropy"] = _cross_entropy
RESIDUALS["scaled_dot_product_attention"] = RESIDUALS["_attention"] = _hints


def with_residuals(call: Signature) -> Graph | None:
    """The parts of a call with what derivatives read beside its result; None for an op that has nothing such.

    Args:
        call: of an op that is made of others.
    """
    program = RESIDUALS.get(call.record.name)
    if program is None:
        return None
    graph = decomposition(call.record, call.specs, call.options, call.dtype)._copy()
    specs = call.outs[len(call.record.outputs) :]
    made = program(graph, specs, *(None if v is None else GraphRef(graph, v) for v in graph.inputs), **call.options)
    graph.outputs = [*graph.outputs, *(r.id for r in made)]
    return graph
