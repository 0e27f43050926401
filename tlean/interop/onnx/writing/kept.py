"""What gradients read beside the results of an op, as programs of ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tlean.compiler.graph import Graph
from tlean.compiler.signature import Signature
from tlean.ops.attention import Weights

from ...c_code.residuals import RESIDUALS


def _log_totals(ops: Any, q: Any, k: Any, mask: Any, bias: Any, causal: bool, scale: float | None) -> tuple[Any]:
    # The logarithm of the sum of each row's e^score: the first of each row of equal ones.
    weights = Weights(ops, q, k, mask, causal, *(() if scale is None else (bias, scale)))
    spread = ops.add(weights.top, ops.log(weights.total))
    rows = tuple(q.shape[:-1])
    first = ops.slice(spread, starts=(0,) * len(spread.shape), stops=(*rows, 1))
    return (ops.reshape(first, shape=rows),)


#: (ops, the specs of what is kept, inputs…, options…) -> what is kept.
KEPT: dict[str, Callable[..., Any]] = {
    **{name: RESIDUALS[name] for name in ("layer_norm", "batchnorm_channel_first", "cross_entropy")},
    "scaled_dot_product_attention": lambda ops, specs, q, k, v, mask, causal: _log_totals(ops, q, k, mask, None, causal, None),
    "_attention": lambda ops, specs, q, k, v, mask, bias, causal, scale: _log_totals(ops, q, k, mask, bias, causal, scale),
    "reduce_max": lambda ops, specs, x, **options: (ops._max_index(x, **options),),
    "sort": lambda ops, specs, x, **options: (ops.argsort(x, **options),),
    "cummax": lambda ops, specs, x, **options: (ops._cummax_index(x, **options),),
}


def kept_parts(call: Signature) -> Graph | None:
    """What a call keeps, of its inputs; None where nothing says that."""
    program = KEPT.get(call.record.name)
    specs = call.outs[len(call.record.outputs) :]
    if program is None or not specs:
        return None
    graph = Graph(call.dtype)
    refs = [graph.arg(s) for s in call.specs]
    made = program(graph, specs, *refs, **call.options)
    graph.outputs = [r.id for r in made]
    return graph.prune()
