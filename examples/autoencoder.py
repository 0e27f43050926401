"""An autoencoder squeezes handwritten digits into a few numbers and draws them again; writes a picture of what comes back.

    python examples/autoencoder.py                         # MNIST from $TLEAN_DATA, the cache or the network
    python examples/autoencoder.py --data DIR --code 8 --epochs 10

(N,1,28,28) -> (N,16,14,14) -> (N,32,7,7) -> (N,code) and the same way back by transposed convolutions.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

import tlean as tl
from tlean import nn
from tlean.data import mnist


class Autoencoder(nn.Module):
    """An encoder to `code` numbers and a decoder back to the logits of the pixels."""

    def __init__(self, code: int) -> None:
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, code),
        )
        self.widen = nn.Linear(code, 32 * 7 * 7)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 1, 3, stride=2, padding=1, output_padding=1),
        )

    def forward(self, ops: Any, images: Any) -> Any:
        """Images `(N, 1, 28, 28)` -> logits of the same shape."""
        hidden = ops.relu(self.widen(ops, self.encoder(ops, images)))
        return self.decoder(ops, ops.reshape(hidden, (images.shape[0], 32, 7, 7)))


def draw(images: np.ndarray, again: np.ndarray, path: Path, title: str) -> None:
    """Digits above, what came back below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(0.9 * len(images), 2.4), layout="constrained")
    grid = figure.subplots(2, len(images), squeeze=False)
    for row, pictures in zip(grid, (images, again), strict=True):
        for axes, picture in zip(row, pictures, strict=True):
            axes.imshow(picture[0], cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
            axes.set_axis_off()
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    figure.savefig(path, dpi=160)


def parse() -> argparse.Namespace:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", metavar="DIR", help="folder with the MNIST files (default: $TLEAN_DATA, the cache, the network)")
    p.add_argument("--code", type=int, default=16, help="numbers that encode a digit (default: %(default)s)")
    p.add_argument("--epochs", type=int, default=10, help="default: %(default)s")
    p.add_argument("--batch-size", type=int, default=64, help="default: %(default)s")
    p.add_argument("--lr", type=float, default=2e-3, help="default: %(default)s")
    p.add_argument("--samples", type=int, help="train on the first so many digits only")
    p.add_argument("--backend", choices=("eager", "compiled"), default="compiled", help="default: %(default)s")
    p.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    p.add_argument("--out", metavar="DIR", type=Path, default=Path("out"), help="for the model and the pictures (default: %(default)s)")
    return p.parse_args()


def main() -> None:
    """Train, then draw digits that the network has not seen."""
    args = parse()
    digits = mnist.load(args.data)
    print(digits.source)
    images = digits.train.arrays[0][: args.samples]
    unseen = digits.test.arrays[0]
    model = Autoencoder(args.code).init(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    history = tl.fit(
        model,
        (images, images),
        "bce_with_logits",
        tl.optim.Adam(model.parameters(), lr=args.lr),
        args.epochs,
        batch_size=args.batch_size,
        validation=(unseen, unseen),
        schedule=lambda opt, steps: tl.optim.CosineAnnealingLR(opt, steps),
        seed=args.seed,
        options=tl.Options(backend=args.backend, seed=args.seed),
        checkpoint=args.out / "autoencoder.safetensors",
        curves=args.out / "autoencoder_curves.png",
        unit="digits",
    )
    again = 1 / (1 + np.exp(-model.predict(unseen).numpy()))
    error = float(np.sqrt(np.mean((again - unseen) ** 2)))
    path = args.out / "autoencoder.png"
    draw(unseen[:16], again[:16], path, f"{args.code} numbers a digit: test digits above, drawn from their numbers below")
    print(f"model: {args.out / 'autoencoder.safetensors'}")
    print(f"picture: {path}")
    print(f"test loss {history.epochs[-1]['val_loss']:.4f}, root mean square error of a pixel {error:.4f}")


if __name__ == "__main__":
    try:
        main()
    except (tl.TleanError, OSError) as error:
        sys.exit(f"autoencoder.py: {error}")
