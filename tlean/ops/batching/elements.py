"""What acts on each element by itself, and random numbers: one array for all lanes."""

from __future__ import annotations

from typing import Any

from ..elementwise import FORMULAS
from ..layout import CONVERSIONS
from ..registry import all_ops
from .call import Call, batching


def elementwise(call: Call) -> Any:
    """Inputs broadcast as they do in a lane."""
    rank = max(len(call.lane(k)) for k in range(len(call.inputs)))
    return call.run(*(call.aligned(k, rank) for k in range(len(call.inputs))))


_PLAIN = frozenset(("detach", "_identity", "bitwise_not", *CONVERSIONS))
batching(*(r.name for r in all_ops() if r.broadcasts or r.name in FORMULAS or r.name in _PLAIN))(elementwise)


@batching("_loop_seed")
def _loop_seed(call: Call) -> Any:
    if not call.out:
        return call.run(*call.inputs)
    return call.run(*(call.ops.broadcast_to(call.aligned(k, len(call.out)), (call.size, *call.out)) for k in range(2)))


# Random numbers: one array for all lanes, so each lane has its own numbers. Those of a seed that is older than the lanes are the same
# in each.


@batching("rand_uniform", "_rand_normal", "_rand_integers")
def _numbers(call: Call) -> Any:
    return call.loop() if call.batched[0] else call.run(*call.inputs, shape=(call.size, *call.out))


@batching("bernoulli_mask")
def _mask(call: Call) -> Any:
    if call.batched[1]:
        return call.loop()
    shape = (call.size, *call.out) if call.draws else call.out
    if not call.batched[0]:
        return call.run(*call.inputs, shape=shape)
    ops, dtype = call.ops, call.outs[0].dtype
    numbers = ops.apply("rand_uniform", (call.inputs[1],), {"shape": shape, "dtype": dtype})
    below = ops.less(numbers, call.aligned(0, len(call.out)))
    one, zero = (ops._full(shape=(), value=v, dtype=dtype) for v in (1.0, 0.0))
    return ops.where(below, one, zero)


@batching("dropout")
def _dropout(call: Call) -> Any:
    if call.batched[1]:
        return call.loop()
    if call.draws or not call.options["train"]:
        return call.run(call.spread(0), call.inputs[1])
    ops, kept, dtype = call.ops, 1.0 - call.options["p"], call.outs[0].dtype
    mask = ops.bernoulli_mask(ops._full(shape=(), value=kept, dtype=dtype), seed=call.inputs[1], shape=call.out)
    return ops.mul(call.inputs[0], ops.scale(mask, c=1.0 / kept))


@batching("_rand_log_gamma", "_rand_poisson")
def _with_parameter(call: Call) -> Any:
    # Of one seed, the numbers of each lane's parameters are drawn by themselves.
    return call.run(call.spread(0), call.inputs[1]) if call.draws and not call.batched[1] else call.loop()


@batching(
    "_gammainc", "_gammaincinv", "_betainc", "_betaincinv", "_student", "_student_inverse", "_lstm_cell", "_lstm_cell_grad", "_gru_cell",
    "_gru_cell_grad",
)  # fmt: skip
def _of_one_shape(call: Call) -> Any:
    return call.run(*(call.spread(k) for k in range(len(call.inputs))))
