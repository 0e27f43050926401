"""Steps of a rank whose gradients are summed behind the backward pass: op by op, and on devices.

The rules are those of the compiled step, so on the CPU the bits are too: sums over the rows of each block, blocks and ranks in their
order, one division by all rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tlean import tree
from tlean._core.array import AnyTensor, as_tensor
from tlean._core.plan.commit import Commit
from tlean.devices import array_at, context_of, cuda
from tlean.errors import NumericsError
from tlean.interpreters.eager import EagerOps, without_tape
from tlean.optim.clip import clip_by_norm
from tlean.optim.param_list import ParamList
from tlean.optim.updates import Update, check_finite
from tlean.options import Options
from tlean.param import Param
from tlean.programs.recorder import Recorder
from tlean.train.steps import _GRADIENT, _NORM, DeviceSteps, EagerSteps, Stored, _nothing, _scalar

from .blocks import pairwise
from .nccl import DeviceSum
from .steps import How, parted
from .sums import ASKED, HEAD, LOSS, ROWS, Exchange, grouped, leave


class ApartSteps:
    """A rank's steps in three parts: gradients, their sums over all ranks, the update. The last input is not the loss's (`RankSteps`).

    Args:
        options, params, loss: of the trainer.
        how: how the ranks compute together.
    """

    options: Options
    params: ParamList
    loss: Callable[..., Any]
    how: How

    def __init__(self, options: Options, params: ParamList, loss: Callable[..., Any], how: How) -> None:
        self.options, self.params, self.loss, self.how = options, params, loss, how
        self.recorder: Recorder = Recorder("ScalarTrainer", loss)
        self.stored: Stored = _nothing
        self._where = context_of(options.device)
        on_device = self._where is not None and options.backend == "compiled" and not options.check_numerics
        # The numbers of the leaves of aux that are the loss.
        self._losses: list[int] = []
        self._own: Any = (DeviceSteps if on_device else EagerSteps)(options, params, self._weighted)
        self._seed, self._position = self._own.stream_state
        # How many random ops a block has, once one has run.
        self._draws: int | None = None
        self._exchanges: dict[Any, Exchange] = {}
        self._latest: dict[bool, Exchange | None] = {}
        self._device_sum = DeviceSum.of(how.world, self._where) if self._where is not None and not how.in_order else None

    def _weighted(self, ops: Any, *refs: Any) -> tuple[Any, Any]:
        # The program of a block: the loss times the rows.
        *given, weight = refs
        value, aux = _scalar(self.recorder(ops, *given))
        self._losses = [k for k, x in enumerate(tree.flatten(aux)[0]) if x is value]
        return ops.mul(value, weight), aux

    @property
    def captured(self) -> Mapping[str, Any]:
        """What the latest plan took of the loss's surroundings for good, by name."""
        captured: Mapping[str, Any] = self._own.captured
        return captured

    def array(self, x: Any, dtype: str) -> Any:
        """An input as the steps take it. Raises: DTypeError, ShapeError."""
        return self._own.array(x, dtype)

    @property
    def stream_state(self) -> tuple[int, int]:
        """(seed, position) of the random stream of all ranks."""
        return self._seed, self._position

    @stream_state.setter
    def stream_state(self, state: tuple[int, int]) -> None:
        self._seed, self._position = state

    def missed(self, backward: bool) -> None:
        """This rank failed before its sums: give the others what they wait for.

        Args:
            backward: whether gradients are summed.
        """
        leave(self._latest.get(backward))

    # One rank's rows ---------------------------------------------------------------------------------------------------------

    def _blocks(self, inputs: Sequence[Any], backward: bool) -> list[tuple[int, Any, Any, list[Any]]]:
        # Of each block: its rows, the sum of its losses, aux, the gradients.
        first = self.how.world.rank * self.how.blocks
        parts = parted([x.shape for x in inputs], self.how.blocks)
        if self._draws is None:
            # Where this rank's random numbers begin depends on how many a block takes: the first run says so.
            self._draws = 0
            self._block(inputs, parts[0], first, backward)
            self._draws = self._own.stream_state[1] - self._position
        return [self._block(inputs, part, first + k, backward) for k, part in enumerate(parts)]

    def _block(self, inputs: Sequence[Any], part: slice, number: int, backward: bool) -> tuple[int, Any, Any, list[Any]]:
        rows, dtype = part.stop - part.start, self.options.dtype
        if rows and rows == inputs[0].shape[0]:
            xs = list(inputs)
        elif rows:
            xs = [self.array(x.numpy()[part], x.dtype) for x in inputs]
        else:
            xs = [self.array(np.zeros((2, *x.shape[1:]), x.dtype), x.dtype) for x in inputs]
        self._own.stream_state = (self._seed, self._position + number * (self._draws or 0))
        weight = self.array(np.array(max(rows, 1), dtype), dtype)
        if not backward:
            value, aux = self._own.forward([*xs, weight])
            return rows, value, aux, []
        value, aux, grads = self._own.backward([*xs, weight])
        return rows, value, aux, list(grads)

    # All ranks ---------------------------------------------------------------------------------------------------------------

    def _summed(self, inputs: Sequence[Any], backward: bool) -> tuple[Any, Any, dict[int, Any]]:
        # (mean loss, aux, mean gradients by the parameter's number).
        *given, asked = inputs
        try:
            blocks = self._blocks(given, backward)
        except BaseException:
            self.missed(backward)
            raise
        world, dtype = self.how.world, self.options.dtype
        zero = [rows == 0 for rows, *_ in blocks]

        def total(parts: Sequence[Any]) -> np.ndarray:
            arrays = [np.asarray(x.numpy(), dtype) for x in parts]
            return np.array(pairwise([np.zeros_like(a) if z else a for a, z in zip(arrays, zero, strict=True)], np.add), dtype)

        leaves, structure = tree.flatten(blocks[0][2])
        pairs = [(p, k) for p, k in self.stored(tree.unflatten(structure, range(len(leaves)))) if k is not None and leaves[k] is not None]
        flat = [tree.flatten(aux)[0] for _, _, aux, _ in blocks]
        kept = [total([np_scaled(x[k], b[0], dtype) for x, b in zip(flat, blocks, strict=True)]) for _, k in pairs]
        moved = [k for k, g in enumerate(blocks[0][3]) if g is not None]
        count = sum(rows for rows, *_ in blocks)
        head = np.zeros(HEAD, dtype)
        head[LOSS], head[ROWS], head[ASKED] = total([value for _, value, _, _ in blocks]), count, asked.numpy()[0]
        if self._device_sum is not None:
            grads = self._on_device(blocks, moved, head)
        else:
            grads = self._on_host({k: total([b[3][k] for b in blocks]) for k in moved}, head, kept, backward)
        rows = head[ROWS]
        kept = [x / rows for x in kept]
        loss = self._placed(head[LOSS] / rows)
        new = {k: self._placed(x) for (_, k), x in zip(pairs, kept, strict=True)} | dict.fromkeys(self._losses, loss)
        with_rows = [f for f, b in zip(flat, blocks, strict=True) if b[0]] or flat[:1]
        shown = [tree.unflatten(structure, [new.get(k, x) for k, x in enumerate(f)]) for f in with_rows]
        self._position += world.size * self.how.blocks * (self._draws or 0)
        kept_pairs = [(p, new[k]) for p, k in pairs]
        return loss, (as_tensor(np.array(head[ASKED])), shown, kept_pairs), grads

    def _on_host(self, sums: dict[int, np.ndarray], head: np.ndarray, kept: list[np.ndarray], backward: bool) -> dict[int, Any]:
        # The mean gradients; `head` and `kept` become sums over all ranks.
        moved = list(sums)
        if self.how.world.size > 1:
            buckets = [[moved[k] for k in b] for b in grouped([sums[k].nbytes for k in moved], self.how.bucket_bytes)]
            lists = [[sums[k].reshape(-1) for k in b] for b in buckets] or [[]]
            lists[-1] = [head, *(x.reshape(-1) for x in kept), *lists[-1]]
            flats = [np.concatenate(values) for values in lists]
            self._latest[backward] = self._exchange([len(f) for f in flats], flats)
            for values, flat in zip(lists, flats, strict=True):
                ends = np.cumsum([len(v) for v in values])
                for v, part in zip(values, np.split(flat, ends[:-1]), strict=True):
                    v[...] = part
        return {k: self._placed(g / head[ROWS]) for k, g in sums.items()}

    def _placed(self, x: Any) -> Any:
        # Numbers of the host as an array of the steps' device.
        array = np.asarray(x, self.options.dtype)
        return as_tensor(array) if self._where is None else array_at(array, self.options.dtype, self._where)

    def _exchange(self, sizes: list[int], flats: Sequence[np.ndarray]) -> Exchange:
        key = tuple(sizes)
        if key not in self._exchanges:
            self._exchanges[key] = Exchange(self.how.world, sizes, self.options.dtype, self.how.in_order)
        exchange = self._exchanges[key]
        exchange.start()
        for k, flat in enumerate(flats):
            exchange.begin(k, flat)
        for k in range(len(flats)):
            exchange.end(k)
        return exchange

    def _on_device(self, blocks: Sequence[Any], moved: Sequence[int], head: np.ndarray) -> dict[int, Any]:
        # The same with gradients that stay on the device: the numbers of `head` go through the host meanwhile.
        ops: Any = EagerOps(self.options.dtype) if self._where is None else cuda().CudaEager(self._where)

        def added(a: Any, b: Any) -> Any:
            return ops.add(a, b)

        def leaf(x: Any) -> Any:
            return ops.add_leaf(x, False)

        sums = without_tape(lambda: [pairwise([leaf(b[3][k]) for b in blocks if b[0]], added).value for k in moved])
        self._device_sum.all_reduce(sums)  # type: ignore[union-attr]
        self._exchange([HEAD], [head])
        rows = self._placed(head[ROWS])
        means = without_tape(lambda: [ops.div(leaf(s), ops.broadcast_to(leaf(rows), s.shape)).value for s in sums])
        return dict(zip(moved, means, strict=True))

    # What a trainer calls ----------------------------------------------------------------------------------------------------

    def forward(self, inputs: Sequence[AnyTensor]) -> tuple[AnyTensor, Any]:
        """(loss, aux)."""
        value, aux, _ = self._summed(inputs, False)
        return value, aux

    def backward(self, inputs: Sequence[AnyTensor]) -> tuple[AnyTensor, Any, list[AnyTensor | None]]:
        """(loss, aux, gradients)."""
        value, aux, grads = self._summed(inputs, True)
        return value, aux, [grads.get(k) for k in range(len(self.params))]

    def step(
        self, update: Update, inputs: Sequence[AnyTensor], clip_norm: float | None, finite: bool = False
    ) -> tuple[AnyTensor, Any, list[Param]]:
        """(loss, aux, the parameters that moved)."""
        before = self._position
        value, aux, grads = self._summed(inputs, True)
        try:
            moved: dict[Param, Any] = {self.params[k]: g for k, g in grads.items() if update.kernel(self.params[k])}
            if clip_norm is not None and moved:
                moved, norm = clip_by_norm(moved, clip_norm)
                if finite and not math.isfinite(norm):
                    check_finite(value, [], _NORM)
                    raise NumericsError(f"{_NORM} became {norm}; nothing was updated")
            if finite:
                check_finite(value, list(moved.values()), _GRADIENT)
            changes = Commit()
            for p, new in aux[2]:
                p._check_like(new)
                p._assign(changes, new)
            update.apply(moved, changes)
        except BaseException:
            self._position = before
            raise
        return value, aux, list(moved)


def np_scaled(x: Any, rows: int, dtype: str) -> Any:
    """An array times a number of rows, as what `total` takes."""
    return as_tensor(np.asarray(x.numpy(), dtype) * np.dtype(dtype).type(rows))
