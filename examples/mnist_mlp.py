"""A perceptron with one hidden layer learns to read handwritten digits.

    python examples/mnist_mlp.py                       # MNIST from the cache or the network
    python examples/mnist_mlp.py --data DIR --epochs 5 --optimizer sgd --lr 0.1

(N,784) -> (N,256) -> (N,10).
"""

from __future__ import annotations

from typing import Any

from tlean.cli import digits

# name -> shape; the inputs of one output (fan-in) are all axes but the first.
PARAMETERS = {
    "hidden.weight": (256, 784),
    "hidden.bias": (256,),
    "output.weight": (10, 256),
    "output.bias": (10,),
}


def model(ops: Any, w1: Any, b1: Any, w2: Any, b2: Any, x: Any) -> Any:
    """Images `(N, 1, 28, 28)` -> scores `(N, 10)`, on any backend."""
    h = ops.relu(ops.linear(w1, b1, ops.reshape(x, (x.shape[0], -1))))
    return ops.linear(w2, b2, h)


if __name__ == "__main__":
    digits.main("mnist_mlp", __doc__, model, PARAMETERS, epochs=10)
