"""A perceptron with one hidden layer learns to read handwritten digits.

    python examples/mnist_mlp.py                       # MNIST from the cache or the network
    python examples/mnist_mlp.py --data DIR --epochs 5 --optimizer sgd --lr 0.1

(N,784) -> (N,256) -> (N,10).
"""

from __future__ import annotations

import tlean as tl
from tlean import nn
from tlean.cli import digits


def network() -> nn.Module:
    """Images `(N, 1, 28, 28)` -> scores `(N, 10)`."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


def main() -> None:
    """Train, test, write the model and the pictures."""
    args = digits.parse("mnist_mlp", __doc__, epochs=10)
    with digits.opened(args) as data:
        model = network().init(args.seed, weight=nn.init.kaiming_uniform(), bias=nn.init.zeros)
        print(f"{model.count():,} parameters")
        loader = tl.data.DataLoader(data.train, args.batch_size, shuffle=True, seed=args.seed, drop_last=True)
        fit = digits.trainer(args)
        history = fit(
            model,
            loader,
            "cross_entropy",
            digits.optimizer(args, model.parameters()),
            args.epochs,
            validation=data.test,
            schedule=tl.optim.CosineAnnealingLR if args.schedule == "cosine" else None,
            options=tl.Options(backend=args.backend, device=args.device, seed=args.seed),
            unit="digits",
        )
        images, labels = data.test.arrays
        scores = model.predict(images, batch_size=500, device=args.device)
        digits.write(args, data, model, history, scores)
        print(f"test accuracy: {nn.accuracy(scores, labels):.2%}")


if __name__ == "__main__":
    main()
