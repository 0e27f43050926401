"""Weights that PyTorch saved as safetensors, in a model of tlean: no PyTorch needed.

    python examples/torch_weights.py                       # writes a file such as PyTorch would, then reads it
    python examples/torch_weights.py --file lenet.safetensors --data DIR

The file is what `safetensors.torch.save_file(net.state_dict(), path)` writes for the network

    net = torch.nn.Sequential()
    net.add_module("features", Sequential(Conv2d(1, 6, 5, padding=2), BatchNorm2d(6), ReLU(), MaxPool2d(2),
                                          Conv2d(6, 16, 5), BatchNorm2d(16), ReLU(), MaxPool2d(2)))
    net.add_module("flatten", Flatten())
    net.add_module("classifier", Linear(400, 10))

Layers of both libraries keep their arrays in the same layout, so a map of names is all that it takes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import tlean as tl
from tlean import nn


def network() -> nn.Sequential:
    """The network of the text above."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.BatchNorm(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.BatchNorm(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 10),
    )


def names(model: nn.Module) -> dict[str, str]:
    """Our name -> PyTorch's."""
    return {ours: ours.replace("9.", "classifier.") if ours.startswith("9.") else f"features.{ours}" for ours in model.named_state()}


def write_example(path: Path, seed: int) -> None:
    """A file with the names, shapes and the counter of batches that PyTorch writes."""
    from safetensors.numpy import save_file

    model = network().init(seed)
    arrays = {theirs: model.state_dict()[ours] for ours, theirs in names(model).items()}
    save_file(arrays | {f"features.{k}.num_batches_tracked": np.array(100) for k in (1, 5)}, path)


def parse() -> argparse.Namespace:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--file", type=Path, help="the weights (default: a file that is written to --out first)")
    p.add_argument("--data", metavar="DIR", help="test on the MNIST digits in this folder too")
    p.add_argument("--seed", type=int, default=0, help="of the weights that are written (default: %(default)s)")
    p.add_argument("--out", metavar="DIR", type=Path, default=Path("out"), help="where the files go (default: %(default)s)")
    return p.parse_args()


def main() -> None:
    """Read the weights, use them, save them as our own."""
    args = parse()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.file
    if path is None:
        path = args.out / "from_torch.safetensors"
        write_example(path, args.seed)
        print(f"written: {path}")
    model = network()
    loaded = tl.load(path, model=model, names=names(model))
    for ours, theirs in names(model).items():
        print(f"{theirs:32} -> {ours:16} {loaded[ours].shape}")
    images = tl.Rng(0).uniform((2, 1, 28, 28))
    print("scores of two images of noise:")
    print(np.array2string(model.predict(images).numpy(), precision=4, suppress_small=True))
    if args.data:
        from tlean.data import mnist

        digits = mnist.load(args.data)
        print(f"test accuracy: {nn.accuracy(model.predict(digits.test.arrays[0]), digits.test.arrays[1]):.2%}")
    own = args.out / "torch_weights.safetensors"
    tl.save(own, model=model)
    print(f"saved as our own: {own}")


if __name__ == "__main__":
    try:
        main()
    except (tl.TleanError, OSError) as error:
        sys.exit(f"torch_weights.py: {error}")
