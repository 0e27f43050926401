"""A small transformer learns a text letter by letter, then writes new text.

    python examples/transformer_char.py                          # five sonnets from the file beside this one
    python examples/transformer_char.py --data book.txt --steps 5000 --backend compiled

Letters (N,n) -> embedding and position (N·n,D) -> blocks of causal attention and a two-layer network, each on a normalised copy and added
to what was there -> scores (N·n,V) by the embedding's own rows. What depends on the seed alone goes to standard output; speed and time left
go to standard error. Five sonnets are little: the network soon knows them by heart, and the loss on the letters held back rises again.

Source: Vaswani et al. 2017, "Attention is all you need"; normalisation before each block as in Xiong et al. 2020.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import tlean as tl

DEFAULT_TEXT = Path(__file__).with_name("sonnets.txt")
BETA1, BETA2, EPS, WEIGHT_DECAY = 0.9, 0.99, 1e-8, 1e-2
# The block's parameters: name -> shape, from the width D.
BLOCK = {
    "norm1.gamma": lambda d: (d,),
    "norm1.beta": lambda d: (d,),
    "query.weight": lambda d: (d, d),
    "key.weight": lambda d: (d, d),
    "value.weight": lambda d: (d, d),
    "mix.weight": lambda d: (d, d),
    "norm2.gamma": lambda d: (d,),
    "norm2.beta": lambda d: (d,),
    "up.weight": lambda d: (4 * d, d),
    "up.bias": lambda d: (4 * d,),
    "down.weight": lambda d: (d, 4 * d),
    "down.bias": lambda d: (d,),
}


class Model:
    """The shapes of the network, and its program."""

    def __init__(self, letters: int, context: int, width: int, heads: int, layers: int) -> None:
        self.context, self.width, self.heads, self.layers = context, width, heads, layers
        self.shapes = {"letters": (letters, width), "positions": (context, width)}
        for k in range(layers):
            self.shapes |= {f"block{k}.{name}": shape(width) for name, shape in BLOCK.items()}
        self.shapes |= {"norm.gamma": (width,), "norm.beta": (width,)}

    def initial_values(self, seed: int) -> list[np.ndarray]:
        """Ones and zeros for the norms and biases, numbers of deviation 0.02 elsewhere; what is added to the stream, smaller."""
        rng, values = tl.Rng(seed), []
        for name, shape in self.shapes.items():
            if len(shape) == 1:
                values.append(np.full(shape, 1.0 if name.endswith("gamma") else 0.0, np.float32))
            else:
                deviation = 0.02 / math.sqrt(2 * self.layers) if "mix" in name or "down" in name else 0.02
                # Uniform, with that deviation.
                values.append(rng.uniform(shape, -math.sqrt(3) * deviation, math.sqrt(3) * deviation))
        return values

    def scores(self, ops: Any, params: Any, letters: Any) -> Any:
        """Letters `(N·n,)`, one text after another -> scores of each next letter `(N·n, V)`, on any backend."""
        p = dict(zip(self.shapes, params, strict=True))
        n, d, h = self.context, self.width, self.heads
        texts = letters.shape[0] // n
        x = ops.gather_rows_nat(p["letters"], letters)
        x = ops.add(x, ops.gather_rows_nat(p["positions"], np.tile(np.arange(n), texts)))

        def split(y: Any) -> Any:
            # (N·n, D) -> (N, H, n, D/H)
            return ops.permute(ops.reshape(y, (texts, n, h, d // h)), (0, 2, 1, 3))

        for k in range(self.layers):
            b = {name: p[f"block{k}.{name}"] for name in BLOCK}
            y = ops.layer_norm(x, b["norm1.gamma"], b["norm1.beta"])
            query, key, value = (split(ops.linear(b[f"{name}.weight"], None, y)) for name in ("query", "key", "value"))
            y = ops.scaled_dot_product_attention(query, key, value, causal=True)
            y = ops.reshape(ops.permute(y, (0, 2, 1, 3)), (texts * n, d))
            x = ops.add(x, ops.linear(b["mix.weight"], None, y))
            y = ops.layer_norm(x, b["norm2.gamma"], b["norm2.beta"])
            y = ops.linear(b["down.weight"], b["down.bias"], ops.gelu(ops.linear(b["up.weight"], b["up.bias"], y)))
            x = ops.add(x, y)
        return ops.linear(p["letters"], None, ops.layer_norm(x, p["norm.gamma"], p["norm.beta"]))


class Text:
    """A text as numbers: the letters that occur in it, in their order."""

    def __init__(self, text: str) -> None:
        self.letters = sorted(set(text))
        self._number = {c: k for k, c in enumerate(self.letters)}
        self.codes = self.encode(text)

    def encode(self, text: str) -> np.ndarray:
        """The numbers of the letters."""
        return np.array([self._number[c] for c in text], np.int64)

    def decode(self, codes: list[int]) -> str:
        """The letters of the numbers."""
        return "".join(self.letters[k] for k in codes)


def batch(codes: np.ndarray, starts: np.ndarray, context: int) -> tuple[np.ndarray, np.ndarray]:
    """The stretches of text that begin at `starts` and the letters that follow each of theirs, both flat."""
    at = starts[:, None] + np.arange(context)
    return codes[at].ravel(), codes[at + 1].ravel()


def rate(step: int, steps: int, lr: float) -> float:
    """The learning rate: rising for a twentieth of the steps, then falling as a cosine to a tenth."""
    warm = max(1, steps // 20)
    if step < warm:
        return lr * (step + 1) / warm
    return lr * (0.1 + 0.9 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2)


def train(args: argparse.Namespace, trainer: tl.ScalarTrainer, codes: np.ndarray, held: np.ndarray, context: int) -> None:
    """All steps; now and then the loss on the letters held back."""
    rng, seen, begun = tl.Rng(args.seed).split(), 0.0, time.perf_counter()
    every = max(1, args.steps // 10)
    tests = [batch(held, np.arange(0, len(held) - context, context), context)] if len(held) > context else []
    for step in range(args.steps):
        starts = np.minimum((rng.uniform((args.batch_size,)) * (len(codes) - context)).astype(np.int64), len(codes) - context - 1)
        inputs = batch(codes, starts, context)
        loss = trainer.adamw_step(rate(step, args.steps, args.lr), BETA1, BETA2, EPS, WEIGHT_DECAY, *inputs).item()
        if not math.isfinite(loss):
            raise SystemExit(f"transformer_char.py: the loss became {loss} at step {step}: try a smaller --lr than {args.lr:g}")
        seen += loss
        if (step + 1) % every == 0 or step + 1 == args.steps:
            count = (step % every) + 1
            told = "".join(f"  held back {trainer.forward(*t).item():.4f}" for t in tests)
            print(f"step {step + 1}/{args.steps}  loss {seen / count:.4f}{told}", flush=True)
            passed = time.perf_counter() - begun
            left = passed / (step + 1) * (args.steps - step - 1)
            speed = (step + 1) * args.batch_size * context / passed
            print(f"  {speed:,.0f} letters/s, {left:.0f} s left", file=sys.stderr, flush=True)
            seen = 0.0


def generate(trainer: tl.ScalarTrainer, text: Text, start: str, length: int, context: int, temperature: float, seed: int) -> str:
    """Go on from `start`: each letter is drawn by the scores divided by `temperature`."""
    rng, codes = tl.Rng(seed).split(), list(text.encode(start))
    for _ in range(length):
        known = codes[-context:]
        # Attention is causal: what fills the rest of the context changes nothing before it.
        window = np.array(known + [0] * (context - len(known)), np.int64)
        trainer.forward(window, window)
        scores = np.asarray(trainer.aux)[len(known) - 1].astype(np.float64) / temperature
        chances = np.cumsum(np.exp(scores - scores.max()))
        codes.append(int(np.searchsorted(chances, float(rng.uniform((1,))[0]) * chances[-1], side="right").clip(0, len(chances) - 1)))
    return text.decode(codes)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    p = argparse.ArgumentParser(prog="transformer_char.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", metavar="FILE", type=Path, default=DEFAULT_TEXT, help="a text file in UTF-8 (default: %(default)s)")
    p.add_argument("--steps", type=int, default=500, help="default: %(default)s")
    p.add_argument("--batch-size", type=int, default=16, help="stretches of text in a step (default: %(default)s)")
    p.add_argument("--context", type=int, default=64, help="letters that the network sees at once (default: %(default)s)")
    p.add_argument("--width", type=int, default=64, help="default: %(default)s")
    p.add_argument("--heads", type=int, default=4, help="default: %(default)s")
    p.add_argument("--layers", type=int, default=2, help="default: %(default)s")
    p.add_argument("--lr", type=float, default=3e-3, help="learning rate at its highest (default: %(default)s)")
    p.add_argument("--backend", choices=("eager", "compiled"), default="eager", help="default: %(default)s")
    p.add_argument("--seed", type=int, default=0, help="of initial values, batches and what is written (default: %(default)s)")
    p.add_argument("--threads", type=int, help="threads of the kernels (default: as many as there are cores)")
    p.add_argument("--start", help="what the written text begins with (default: the first line of the text)")
    p.add_argument("--length", type=int, default=400, help="letters to write (default: %(default)s)")
    p.add_argument("--temperature", type=float, default=0.7, help="below 1 bolder letters are rarer (default: %(default)s)")
    args = p.parse_args(argv)
    for name in ("steps", "batch_size", "context", "width", "heads", "layers", "lr", "temperature"):
        if not 0 < getattr(args, name) < math.inf:
            p.error(f"--{name.replace('_', '-')} must be greater than 0, got {getattr(args, name)}")
    if args.width % args.heads:
        p.error(f"--width is a multiple of --heads, got {args.width} and {args.heads}")
    return args


def run(args: argparse.Namespace) -> None:
    """Train and write."""
    if args.threads:
        tl.set_num_threads(args.threads)
    text = Text(args.data.read_text(encoding="utf-8"))
    split = len(text.codes) * 9 // 10
    if split < args.context + 2:
        raise SystemExit(f"transformer_char.py: {args.data} has {len(text.codes)} letters, too few for a context of {args.context}")
    start = args.start if args.start is not None else text.decode(list(text.codes)).split("\n")[0] + "\n"
    unknown = sorted(set(start) - set(text.letters))
    if unknown or not start:
        raise SystemExit(f"transformer_char.py: --start has letters that the text lacks: {''.join(unknown)!r}")
    model = Model(len(text.letters), args.context, args.width, args.heads, args.layers)

    def loss(ops: Any, *refs: Any) -> tuple[Any, Any]:
        *params, letters, following = refs
        scores = model.scores(ops, params, letters)
        return ops.cross_entropy(scores, following), scores

    spec = tl.Spec((args.batch_size * args.context,), "int64")
    trainer = tl.ScalarTrainer(tl.Options(backend=args.backend, seed=args.seed), model.initial_values(args.seed), [spec, spec], loss)
    count = sum(math.prod(shape) for shape in model.shapes.values())
    print(f"{args.data.name}: {len(text.codes):,} letters, {len(text.letters)} different; {count:,} parameters, seed {args.seed}")
    train(args, trainer, text.codes[:split], text.codes[split:], args.context)
    print(f"\n{generate(trainer, text, start, args.length, args.context, args.temperature, args.seed)}")


def main(argv: list[str] | None = None) -> None:
    """Read the command line, train, write."""
    args = parse(argv)
    try:
        run(args)
    except (tl.TleanError, OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"transformer_char.py: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
