"""Products: lanes are further leading axes, or rows of one product where one matrix is for all of them."""

from __future__ import annotations

from typing import Any

from ...shapes import size
from ..attention import runs, whole_part
from .call import Call, batching, lanes_out, shaped


def _as_matrix(call: Call, k: int, rank: int) -> Any:
    # The operand with two last axes, a vector as a row at the left and as a column at the right, that broadcasts against others of a rank.
    lane, x = call.lane(k), call.inputs[k]
    if len(lane) == 1:
        lane = (1, *lane) if k == 0 else (*lane, 1)
    if not call.batched[k]:
        return shaped(call.ops, x, lane)
    return shaped(call.ops, x, (call.size, *(1,) * (rank - len(lane)), *lane))


@batching("matmul", "bmm")
def matmul(call: Call) -> Any:
    ops, shape = call.ops, (call.size, *call.out)
    a, b = call.lane(0), call.lane(1)
    turn_a, turn_b = call.options.get("transpose_a", False), call.options.get("transpose_b", False)
    rank = max(len(a), len(b), 2)
    if not call.batched[1] and len(b) <= 2 and (len(a) == 1 or a[-1 if turn_a else -2] == 1):
        # One row in each lane: they are the rows of one product.
        rows = shaped(ops, call.inputs[0], (call.size * size(a[:-2]), a[-2 if turn_a else -1]))
        return shaped(ops, ops.matmul(rows, call.inputs[1], transpose_b=turn_b), shape)
    if not call.batched[0] and len(a) == 2 and (len(b) == 1 or b[-2 if turn_b else -1] == 1):
        columns = shaped(ops, call.inputs[1], (call.size * size(b[:-2]), b[-1 if turn_b or len(b) == 1 else -2]))
        return shaped(ops, ops.matmul(columns, call.inputs[0], transpose_b=not turn_a), shape)
    y = ops.matmul(_as_matrix(call, 0, rank), _as_matrix(call, 1, rank), transpose_a=turn_a, transpose_b=turn_b)
    return shaped(ops, y, shape)


@batching("linear")
def _linear(call: Call) -> Any:
    ops, (w, b, x) = call.ops, call.inputs
    if not call.batched[0] and not call.batched[1]:
        return call.run(w, b, x)
    lane = call.lane(2)
    if not call.batched[0]:
        y = call.run(w, None, x)[0]
    elif not call.batched[2]:
        # The outputs of all lanes are those of one layer.
        y = call.run(shaped(ops, w, (call.size * w.shape[1], w.shape[2])), None, x)[0]
        y = lanes_out(ops, y, len(lane) - 1, call.size)
    else:
        rows = shaped(ops, x, (call.size, size(lane[:-1]), lane[-1]))
        y = shaped(ops, ops.matmul(rows, w, transpose_b=True), (call.size, *call.out))
    return y if b is None else ops.add(y, call.aligned(1, len(lane)))


# Attention -------------------------------------------------------------------------------------------------------------------


def _mask(call: Call, k: int, lead: tuple[int, ...]) -> Any:
    # A mask for all lanes, of the last two axes alone, may stay so.
    mask = call.inputs[k]
    if mask is None or (not call.batched[k] and len(mask.shape) == 2):
        return mask
    lane = call.lane(k)
    return call.ops.broadcast_to(call.aligned(k, len(lead) + 2), (call.size, *lead, *lane[-2:]))


@batching("scaled_dot_product_attention")
def _attention(call: Call) -> Any:
    lanes = (None if x is None else call.lane(k) for k, x in enumerate(call.inputs))
    if call.record.rules.in_parts(*lanes, **call.options):
        return call.parts()
    return call.run(call.spread(0), call.spread(1), call.spread(2), _mask(call, 3, call.lane(0)[:-2]))


@batching("_sdpa_grad")
def _attention_grad(call: Call) -> Any:
    return call.run(*(call.spread(k) for k in range(6)), _mask(call, 6, call.lane(3)[:-2]))


def _scores_of(call: Call, q: int, k: int) -> tuple[int, ...]:
    return (call.size, *call.lane(q)[:-1], call.lane(k)[-2])


@batching("_attention")
def _scaled_attention(call: Call) -> Any:
    scores = _scores_of(call, 0, 1)
    parts = (whole_part(call.ops, call.aligned(k, len(scores) - 1), scores) for k in (3, 4))
    return call.run(call.spread(0), call.spread(1), call.spread(2), *parts)


@batching("_attention_grad")
def _scaled_attention_grad(call: Call) -> Any:
    scores = _scores_of(call, 3, 4)
    parts = (whole_part(call.ops, call.aligned(k, len(scores) - 1), scores) for k in (6, 7))
    return call.run(*(call.spread(k) for k in range(6)), *parts)


@batching("_attention_bias_grad")
def _bias_grad(call: Call) -> Any:
    scores, bias = _scores_of(call, 3, 4), (call.size, *call.lane(7))
    if runs(scores[:-2], bias[:-2]) is None:
        return call.parts()
    mask = whole_part(call.ops, call.aligned(6, len(scores) - 1), scores)
    return call.run(*(call.spread(k) for k in range(6)), mask, call.spread(7))


@batching("_attention_allowed")
def _allowed(call: Call) -> Any:
    shape = (call.size, *call.out)
    whole = (None if x is None else call.ops.broadcast_to(call.aligned(k, len(call.out)), shape) for k, x in enumerate(call.inputs))
    return call.run(*whole, shape=shape)
