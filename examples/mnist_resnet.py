"""A small residual network, or LeNet, learns to read handwritten digits, with tl.nn and tl.fit.

    python examples/mnist_resnet.py                                  # MNIST from $TLEAN_DATA, the cache or the network
    python examples/mnist_resnet.py --data DIR --model lenet --epochs 5

Every epoch sees each digit shifted by another two pixels at most. Ctrl-C leaves a checkpoint; --resume goes on from it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import tlean as tl
from tlean import nn
from tlean.data import mnist


def block(inputs: int, outputs: int, stride: int) -> nn.Module:
    """Two convolutions and a way around them, then a rectifier."""
    body = nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm(outputs),
    )
    same = stride == 1 and inputs == outputs
    around = None if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm(outputs))
    return nn.Sequential(nn.Residual(body, around), nn.ReLU())


def resnet(width: int) -> nn.Sequential:
    """(N,1,28,28) -> (N,w,28,28) -> (N,2w,14,14) -> (N,4w,7,7) -> (N,4w) -> (N,10)."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1, bias=False),
        nn.BatchNorm(width),
        nn.ReLU(),
        block(width, 2 * width, 2),
        block(2 * width, 4 * width, 2),
        nn.GlobalAvgPool(),
        nn.Linear(4 * width, 10),
    )


def lenet(width: int) -> nn.Sequential:
    """LeNet-5 with rectifiers and maximum pools; `width` is not used.

    Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998, section II.B.
    """
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


MODELS = {"resnet": resnet, "lenet": lenet}


def parse() -> argparse.Namespace:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", metavar="DIR", help="folder with the MNIST files (default: $TLEAN_DATA, the cache, the network)")
    p.add_argument("--model", choices=MODELS, default="resnet", help="default: %(default)s")
    p.add_argument("--width", type=int, default=16, help="channels of the first layer of the resnet (default: %(default)s)")
    p.add_argument("--epochs", type=int, default=15, help="default: %(default)s")
    p.add_argument("--batch-size", type=int, default=64, help="default: %(default)s")
    p.add_argument("--lr", type=float, default=4e-3, help="the highest rate of the cosine schedule (default: %(default)s)")
    p.add_argument("--shift", type=int, default=2, help="pixels that a digit is moved by at most (default: %(default)s)")
    p.add_argument("--samples", type=int, help="train on the first so many digits only")
    p.add_argument("--backend", choices=("eager", "compiled"), default="compiled", help="default: %(default)s")
    p.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    p.add_argument("--threads", type=int, help="threads of the kernels (default: as many as there are cores)")
    p.add_argument("--out", metavar="DIR", type=Path, default=Path("out"), help="for the model and the pictures (default: %(default)s)")
    p.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    p.add_argument("--plot", action=argparse.BooleanOptionalAction, default=True, help="draw the curves and the confusion matrix")
    return p.parse_args()


def main() -> None:
    """Train, test, write the model and the pictures."""
    args = parse()
    if args.threads:
        tl.set_num_threads(args.threads)
    digits = mnist.load(args.data)
    train = digits.train.take(slice(0, args.samples)) if args.samples else digits.train
    model = MODELS[args.model](args.width).init(args.seed)
    print(digits.source)
    print(nn.summary(model, (1, 1, 28, 28)))
    args.out.mkdir(parents=True, exist_ok=True)
    name = f"mnist_{args.model}"
    transform = tl.data.augment.Augment(tl.data.augment.shift(args.shift))
    loader = tl.data.DataLoader(train, args.batch_size, shuffle=True, seed=args.seed, drop_last=True, transform=transform, prefetch=2)
    history = tl.fit(
        model,
        loader,
        "cross_entropy",
        tl.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=1e-2),
        args.epochs,
        validation=digits.test,
        schedule=lambda opt, steps: tl.optim.WarmupCosineLR(opt, steps // 20, steps),
        seed=args.seed,
        options=tl.Options(backend=args.backend, seed=args.seed),
        checkpoint=args.out / f"{name}.safetensors",
        resume=args.resume,
        log=args.out / f"{name}.jsonl",
        curves=args.out / f"{name}_curves.png" if args.plot else None,
        unit="digits",
    )
    for row in history.epochs:
        print(f"epoch {row['epoch']}  loss {row['loss']:.4f}  test loss {row['val_loss']:.4f}  test accuracy {row['val_accuracy']:.2%}")
    images, labels = digits.test.arrays
    scores = model.predict(images, batch_size=500)
    if args.plot:
        nn.plot_confusion(nn.confusion_matrix(scores, labels, 10), args.out / f"{name}_confusion.png")
        print(f"pictures: {args.out / name}_curves.png, {args.out / name}_confusion.png")
    print(f"model: {args.out / name}.safetensors")
    print(f"test accuracy: {nn.accuracy(scores, labels):.2%}")


if __name__ == "__main__":
    try:
        main()
    except (tl.TleanError, OSError) as error:
        sys.exit(f"mnist_resnet.py: {error}")
