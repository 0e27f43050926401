"""Batch normalisation over the rows of all ranks."""

from __future__ import annotations

import math
from typing import Any

from tlean.nn.module import shape_of
from tlean.nn.norm import BatchNorm

from .collectives import all_reduce
from .world import World
from .world import world as job


class SyncBatchNorm(BatchNorm):
    """A `tl.nn.BatchNorm` whose statistics in training are those of the rows of all ranks, which may have different numbers of them.

    `synchronised` makes them of the layers of a model. Per step there are two small sums over all ranks for each layer, and two in the
    backward pass.
    """

    #: The ranks; None: those of the job.
    world: World | None = None

    def forward(self, ops: Any, x: Any) -> Any:
        """The output.

        Args:
            ops: a backend.
            x: `(N, C, ...)`, this rank's rows.
        """
        world = self.world or job()
        if world.size == 1 or not (ops.training(self) or not self.track):
            return super().forward(ops, x)
        shape = shape_of(self, x)
        axes = (0, *range(2, len(shape)))
        wide = (1, self.channels, *[1] * (len(shape) - 2))

        def spread(v: Any) -> Any:
            return ops.broadcast_to(ops.reshape(v, wide), shape)

        own = math.prod(shape) // self.channels
        ones = ops.full((1,), float(own), dtype=str(x.dtype))
        sums = all_reduce(ops.concat([ops.sum(x, axes), ones]), world)
        count = ops.reshape(ops.slice_range0(sums, self.channels, 1), ())
        per = ops.broadcast_to(ops.inv(count), (self.channels,))
        mean = ops.mul(ops.slice_range0(sums, 0, self.channels), per)
        apart = ops.sub(x, spread(mean))
        var = ops.mul(all_reduce(ops.sum(ops.square(apart), axes), world), per)
        if self.track:
            # The unbiased variance is the running one.
            unbiased = ops.broadcast_to(ops.div(count, ops.shift(count, -1.0)), (self.channels,))
            self._move(ops, mean, ops.mul(var, unbiased), 1.0)
        factor = ops.rsqrt(ops.shift(var, self.eps))
        if self.weight is None:
            return ops.mul(apart, spread(factor))
        return ops.add(ops.mul(apart, spread(ops.mul(factor, self.weight))), spread(self.bias))


def has_batch_norm(model: Any) -> bool:
    """Whether a model has layers that normalise by the statistics of a batch.

    Args:
        model: a `tl.nn.Module`.
    """
    return any(isinstance(layer, BatchNorm) for _, layer in getattr(model, "named_modules", list)())


def synchronised(model: Any, world: World | None = None) -> Any:
    """The model, whose batch normalisations take statistics over the rows of all ranks from now on.

    Args:
        model: a `tl.nn.Module`; it is changed in place, its parameters and their names stay.
        world: the ranks; None: those of the job.

    Returns: the model.
    """
    for _, layer in model.named_modules():
        if type(layer) is BatchNorm:
            layer.__class__ = SyncBatchNorm
        if isinstance(layer, SyncBatchNorm):
            layer.world = world
    return model
