"""The threaded tape of a device: what `TapeM` is there."""

from __future__ import annotations

from tlean.cuda.eager import CudaEager
from tlean.cuda.tape import DeviceTape

from .stateful import StatefulTape, TapeM


class CudaTapeM(StatefulTape, CudaEager):
    """A tape on a device, threaded for its user. Made by `TapeM(device="cuda")`, or for a tape that is on a device.

    Args:
        store: the nodes to continue.
        size: how many of them.
        stream: seed and position of the random numbers.
        strict_shapes: whether the inputs of an elementwise op must have equal shapes.
    """

    session_seed: int
    stream_position: int

    def __init__(self, store: DeviceTape, size: int, stream: tuple[int, int], strict_shapes: bool) -> None:
        super().__init__(store.context, store)
        self.use_store(store.continued(size, self))
        self.session_seed, self.stream_position = stream
        self.strict_shapes = strict_shapes


TapeM._on_device = CudaTapeM
