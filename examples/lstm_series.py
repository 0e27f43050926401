"""An LSTM learns a time series and goes on with it by itself; draws what it foretells against what came.

    python examples/lstm_series.py
    python examples/lstm_series.py --file series.csv --window 60 --epochs 40

The series is a column of numbers from a CSV file, or, with none given, two sines under noise. The last fifth is never trained on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import tlean as tl
from tlean import nn


def waves(length: int, seed: int) -> np.ndarray:
    """Two sines of different periods, and a little noise."""
    t = np.arange(length)
    noise = tl.Rng(seed).uniform((length,), -0.05, 0.05)
    return (np.sin(2 * np.pi * t / 20) + 0.7 * np.sin(2 * np.pi * t / 50) + noise).astype(np.float32)


def windows(series: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Every run of `length` values `(n, length, 1)`, and the value after each `(n, 1)`."""
    runs = np.lib.stride_tricks.sliding_window_view(series, length + 1)
    return runs[:, :length, None].copy(), runs[:, length:].copy()


def foretell(model: nn.Module, start: np.ndarray, steps: int) -> np.ndarray:
    """Values one after another, each from those before it, foretold ones too."""
    known = list(start)
    for _ in range(steps):
        window = np.array(known[-len(start) :], np.float32)
        known.append(float(model.predict(window[None, :, None]).numpy()[0, 0]))
    return np.array(known[len(start) :])


def draw(series: np.ndarray, split: int, ahead: np.ndarray, own: np.ndarray, path: Path) -> None:
    """What came, what was foretold one step ahead, and what the network goes on with by itself."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    axes = figure.add_subplot()
    first = max(split - len(own), 0)
    axes.plot(np.arange(first, len(series)), series[first:], color="#6b7785", linewidth=1.2, label="the series")
    axes.plot(np.arange(split, split + len(ahead)), ahead, color="#3b6fb6", linewidth=1.2, label="one step ahead")
    axes.plot(np.arange(split, split + len(own)), own, color="#d1603d", linewidth=1.6, label="by itself from the dashed line on")
    axes.axvline(split, color="#1f2933", linestyle="--", linewidth=0.8)
    axes.set(xlabel="step", title="an LSTM on the part of a series that it was not trained on")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.01)
    figure.legend(frameon=False, loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=160)


def parse() -> argparse.Namespace:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--file", metavar="CSV", type=Path, help="a file with the series in its first column (default: a generated one)")
    p.add_argument("--length", type=int, default=1000, help="of the generated series (default: %(default)s)")
    p.add_argument("--window", type=int, default=40, help="values that the network sees (default: %(default)s)")
    p.add_argument("--size", type=int, default=32, help="of the LSTM's state (default: %(default)s)")
    p.add_argument("--epochs", type=int, default=40, help="default: %(default)s")
    p.add_argument("--lr", type=float, default=5e-3, help="default: %(default)s")
    p.add_argument("--backend", choices=("eager", "compiled"), default="compiled", help="default: %(default)s")
    p.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    p.add_argument("--out", metavar="DIR", type=Path, default=Path("out"), help="for the model and the picture (default: %(default)s)")
    return p.parse_args()


def main() -> None:
    """Train on the first four fifths, foretell the last."""
    args = parse()
    series = tl.data.read_csv(args.file)[:, 0] if args.file else waves(args.length, args.seed)
    split = len(series) * 4 // 5
    if split <= args.window + 1 or len(series) - split < 2:
        sys.exit(f"lstm_series.py: a series of {len(series)} values is too short for windows of {args.window}")
    mean, spread = series[:split].mean(), series[:split].std()
    scaled = ((series - mean) / max(float(spread), 1e-12)).astype(np.float32)
    unseen = windows(scaled[split - args.window :], args.window)
    model = nn.Sequential(nn.LSTM(1, args.size, last=True), nn.Linear(args.size, 1)).init(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    history = tl.fit(
        model,
        windows(scaled[:split], args.window),
        "mse_loss",
        tl.optim.Adam(model.parameters(), lr=args.lr),
        args.epochs,
        validation=unseen,
        clip_norm=1.0,
        schedule=lambda opt, steps: tl.optim.CosineAnnealingLR(opt, steps),
        seed=args.seed,
        options=tl.Options(backend=args.backend, seed=args.seed),
        checkpoint=args.out / "lstm_series.safetensors",
        unit="windows",
    )
    ahead = model.predict(unseen[0]).numpy()[:, 0]
    own = foretell(model, scaled[split - args.window : split], len(series) - split)
    path = args.out / "lstm_series.png"
    draw(series, split, ahead * spread + mean, own * spread + mean, path)
    naive = float(np.mean((scaled[split:] - scaled[split - 1 : -1]) ** 2))
    print(f"model: {args.out / 'lstm_series.safetensors'}")
    print(f"picture: {path}")
    print(f"mean square error one step ahead: {history.epochs[-1]['val_loss']:.4f}; of saying the last value again: {naive:.4f}")


if __name__ == "__main__":
    try:
        main()
    except (tl.TleanError, OSError) as error:
        sys.exit(f"lstm_series.py: {error}")
