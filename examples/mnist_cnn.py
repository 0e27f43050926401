"""A convolutional network learns to read handwritten digits.

    python examples/mnist_cnn.py                       # MNIST from the cache or the network
    python examples/mnist_cnn.py --data DIR --epochs 5 --threads 2
    mpiexec -n 2 python examples/mnist_cnn.py --distributed --backend compiled      # or: make distributed

Two convolutions, each followed by a rectifier and a pool, then two fully connected layers:
(N,1,28,28) -> (N,16,14,14) -> (N,32,7,7) -> (N,128) -> (N,10).
"""

from __future__ import annotations

from typing import Any

import tlean as tl
from tlean import nn
from tlean.cli import digits


class Network(nn.Module):
    """Images `(N, 1, 28, 28)` -> scores `(N, 10)`."""

    def __init__(self) -> None:
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.hidden = nn.Linear(32 * 7 * 7, 128)
        self.output = nn.Linear(128, 10)

    def forward(self, ops: Any, x: Any) -> Any:
        h = ops.max_pool2d(ops.relu(self.conv1(ops, x)), 2)
        h = ops.max_pool2d(ops.relu(self.conv2(ops, h)), 2)
        h = ops.relu(self.hidden(ops, ops.reshape(h, (x.shape[0], -1))))
        return self.output(ops, h)


def main() -> None:
    """Train, test, write the model and the pictures."""
    args = digits.parse("mnist_cnn", __doc__, epochs=8)
    with digits.opened(args) as data:
        model = Network().init(args.seed, weight=nn.init.kaiming_uniform(), bias=nn.init.zeros)
        print(nn.summary(model, (1, 1, 28, 28)))
        loader = tl.data.DataLoader(data.train, args.batch_size, shuffle=True, seed=args.seed, drop_last=True)
        optimizer = digits.optimizer(args, model.parameters())
        schedule = tl.optim.CosineAnnealingLR if args.schedule == "cosine" else None
        options = tl.Options(backend=args.backend, device=args.device, seed=args.seed)
        fit = digits.trainer(args)
        history = fit(
            model, loader, "cross_entropy", optimizer, args.epochs, validation=data.test, schedule=schedule, options=options, unit="digits"
        )
        images, labels = data.test.arrays
        scores = model.predict(images, batch_size=500, device=args.device)
        digits.write(args, data, model, history, scores)
        print(f"test accuracy: {nn.accuracy(scores, labels):.2%}")


if __name__ == "__main__":
    main()
