"""`python -m tlean mnist`: a convolutional network learns to read handwritten digits.

(N,1,28,28) -> (N,16,14,14) -> (N,32,7,7) -> (N,128) -> (N,10): two convolutions, each followed by a rectifier and a pool, then two fully
connected layers. Written with `tl.nn`; `examples/mnist_cnn.py` in the repository is the same network written with ops.
"""

from __future__ import annotations

from typing import Any

from tlean import nn

from . import digits


def network() -> nn.Module:
    """The network."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10)),
    )


def main(argv: list[str]) -> None:
    """Train, test, write the model and the pictures."""
    net = network()

    def model(ops: Any, *refs: Any) -> Any:
        return net.apply(ops, refs[:-1], refs[-1])

    parameters = {name: p.shape for name, p in net.named_parameters().items()}
    digits.main("mnist", __doc__, model, parameters, epochs=8, argv=argv, prog="python -m tlean mnist")
