"""`ScalarTrainer` over several ranks: each computes on its own rows, and all take the same step."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tlean._core.array import AnyTensor, as_tensor
from tlean.arguments import truth, whole
from tlean.options import Options
from tlean.train.trainer import ScalarTrainer as _ScalarTrainer

from .apart import ApartSteps
from .blocks import share
from .steps import How, RankSteps
from .world import World, world

#: Bytes of a bucket of gradients.
BUCKET_BYTES = 1 << 18


class ScalarTrainer(_ScalarTrainer):
    """A `tl.ScalarTrainer` whose steps all ranks take together: losses, gradients and parameters are the same on each.

    Each rank calls every method with its own rows of the batch (`shard` cuts them), at the same time as the others. The loss is a mean
    over rows, and what is returned is the mean over the rows of all ranks; they may have different numbers of rows. Parameters begin as
    those of rank 0.

    On the compiled backend gradients are summed in buckets inside the step's plan: the sum of a bucket begins as soon as it is complete,
    and goes on while the backward pass does. On the eager backend and on devices they are summed behind it; on devices by NCCL where the
    package nccl4py is installed, else through the host.

    Args:
        options, init_params, input_shapes, loss, requires_grad: as for `tl.ScalarTrainer`; the same on every rank.
        deterministic: whether sums over ranks are made in rank order. Then two runs with the same number of ranks have the same bits.
        blocks: into how many blocks the rows of all ranks are cut; each rank has 1, 2, 4, 8, … of them. The loss and the gradients of a
            block are computed apart and added by neighbouring pairs. With `deterministic` every number of ranks then gives the same bits.
            None: a block for each rank.
        bucket_bytes: of a bucket; a gradient that is larger is summed alone, where it is.
        world: the ranks; None: those of the job.

    What the loss returns as `aux` is that of this rank's rows, with the loss and what `store_with_step` names as means over all. With
    several blocks on a rank it is a list with an entry for each that has rows. A rank without rows has that of rows of zeros.

    Raises: as `tl.ScalarTrainer`; OptionError for a number of blocks that the ranks cannot share; RankError in a step that failed on
        another rank: then no rank has taken it.

    Example::

        ranks = tl.distributed.world()
        trainer = tl.distributed.ScalarTrainer(tl.Options(backend="compiled"), [w], [(8, 3)], loss)
        for x, y in tl.distributed.shard(tl.data.DataLoader((X, Y), 8 * ranks.size)):
            trainer.step(0.1, x, y)
    """

    def __init__(
        self,
        options: Options,
        init_params: Sequence[Any],
        input_shapes: Sequence[Any],
        loss: Callable[..., Any],
        requires_grad: Any = None,
        *,
        deterministic: bool = False,
        blocks: int | None = None,
        bucket_bytes: int = BUCKET_BYTES,
        world: World | None = None,
    ) -> None:
        ranks = _world() if world is None else world
        if isinstance(options, Options):
            # Random numbers begin alike.
            options = options.replace(seed=ranks.share(options.first_seed()))
        super().__init__(options, init_params, input_shapes, loss, requires_grad)
        in_order = truth("distributed: deterministic", deterministic)
        self.how: How = How(ranks, share(blocks, ranks.size), in_order, whole("distributed: bucket_bytes", bucket_bytes, 1))
        compiled = options.backend == "compiled" and options.device == "cpu" and not options.check_numerics
        self._blocks = blocks
        self._steps = (RankSteps if compiled else ApartSteps)(options, self.params, loss, self.how)
        #: Set it where this rank asks the others for something; after each step `asked` says how many ranks did, before they began it.
        self.ask = False
        self.asked: int = 0
        ranks.share_params(self.params)

    def _tensors(self, inputs: Sequence[Any], backward: bool = True) -> list[AnyTensor]:
        try:
            tensors = super()._tensors(inputs, backward)
        except BaseException:
            self._steps.missed(backward)
            raise
        return [*tensors, as_tensor(np.array([self.ask], self.options.dtype))]

    def __reduce__(self) -> Any:
        remade, (kind, *rest) = super().__reduce__()
        how = self.how
        more = {"deterministic": how.in_order, "blocks": self._blocks, "bucket_bytes": how.bucket_bytes, "world": how.world}
        return remade, (functools.partial(kind, **more), *rest)

    @property
    def aux(self) -> Any:
        """What the loss returned beside the scalar in the last call, as arrays."""
        return None if not self._aux else self._aux[0] if self.how.blocks == 1 else self._aux

    @aux.setter
    def aux(self, value: Any) -> None:
        self._keep(value)

    def _keep(self, value: Any) -> None:
        # What the steps return beside the loss.
        if value is None:
            self._aux: list[Any] = []
            return
        asked, self._aux, _ = value
        self.asked = round(float(asked.item()))


_world = world
