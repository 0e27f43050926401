"""`tlean mnist`: a convolutional network learns to read handwritten digits.

(N,1,28,28) -> (N,16,14,14) -> (N,32,7,7) -> (N,128) -> (N,10): two convolutions, each followed by a rectifier and a pool, then two fully
connected layers. Written with `tl.nn`; `examples/mnist_cnn.py` in the repository is the same network written with ops.
"""

from __future__ import annotations

import tlean as tl
import tlean.nn as nn

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
    args = digits.parse("mnist", __doc__, epochs=8, argv=argv, prog="tlean mnist")
    with digits.opened(args) as data:
        model = network().init(args.seed, weight=nn.init.kaiming_uniform(), bias=nn.init.zeros)
        print(f"{model.count():,} parameters")
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
