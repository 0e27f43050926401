"""A convolutional network learns to read handwritten digits.

    python examples/mnist_cnn.py                       # MNIST from the cache or the network
    python examples/mnist_cnn.py --data DIR --epochs 5 --threads 2

Two convolutions, each followed by a rectifier and a pool, then two fully connected layers:
(N,1,28,28) -> (N,16,14,14) -> (N,32,7,7) -> (N,128) -> (N,10).
"""

from __future__ import annotations

from typing import Any

from tlean.cli import digits

# name -> shape; the inputs of one output (fan-in) are all axes but the first.
PARAMETERS = {
    "conv1.weight": (16, 1, 3, 3),
    "conv1.bias": (16,),
    "conv2.weight": (32, 16, 3, 3),
    "conv2.bias": (32,),
    "hidden.weight": (128, 32 * 7 * 7),
    "hidden.bias": (128,),
    "output.weight": (10, 128),
    "output.bias": (10,),
}


def model(ops: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, w4: Any, b4: Any, x: Any) -> Any:
    """Images `(N, 1, 28, 28)` -> scores `(N, 10)`, on any backend."""
    h = ops.max_pool2d(ops.relu(ops.conv2d(w1, b1, x, padding=1)), 2)
    h = ops.max_pool2d(ops.relu(ops.conv2d(w2, b2, h, padding=1)), 2)
    h = ops.relu(ops.linear(w3, b3, ops.reshape(h, (x.shape[0], -1))))
    return ops.linear(w4, b4, h)


if __name__ == "__main__":
    digits.main("mnist_cnn", __doc__, model, PARAMETERS, epochs=8)
