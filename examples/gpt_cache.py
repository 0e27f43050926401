"""A small GPT learns a text letter by letter, and writes with a cache of keys and values: one compiled loop, one token a step.

The model is made of `nn` layers. Writing is a `scan`: its carry is the last letter and the caches of all blocks, of which a step writes
one row. Without a cache every new letter reads the whole text again. The picture has both speeds by length, and where one head looks.

    python examples/gpt_cache.py                            # sentences of a small grammar
    python examples/gpt_cache.py --data book.txt --steps 3000 --width 128

Source: Radford et al. 2019, "Language models are unsupervised multitask learners"; Vaswani et al. 2017.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import common
import numpy as np

import tlean as tl
from tlean import nn


def sentences(rng: np.random.Generator, count: int) -> str:
    """Sentences of a grammar in which verbs agree with their subjects, however far away these are."""
    nouns, verbs = ("crow", "owl", "cat", "hen", "dog", "frog"), ("runs", "sings", "sleeps", "waits", "jumps")
    places = ("by the lake", "in the old barn", "under a tree", "on the hill")

    def group() -> tuple[str, bool]:
        several = rng.random() < 0.5
        noun = nouns[rng.integers(len(nouns))]
        text = f"{'two' if several else 'a'} {noun}{'s' if several else ''}"
        if rng.random() < 0.4:
            text += f" {places[rng.integers(len(places))]}"
        return text, several

    lines = []
    for _ in range(count):
        text, several = group()
        verb = verbs[rng.integers(len(verbs))]
        line = f"{text} {verb[:-1] if several else verb}"
        if rng.random() < 0.4:
            text, several = group()
            verb = verbs[rng.integers(len(verbs))]
            line += f" and {text} {verb[:-1] if several else verb}"
        lines.append(line + ".\n")
    return "".join(lines)


class Block(nn.Module):
    """Attention, then two layers for each token alone, both on a normalised copy and added to what was there."""

    def __init__(self, width: int, heads: int) -> None:
        self.first, self.attention = nn.LayerNorm(width), nn.MultiHeadAttention(width, heads)
        self.second = nn.LayerNorm(width)
        self.inner = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Any, mask: Any) -> Any:
        x = x + self.attention(self.first(x), mask)
        return x + self.inner(self.second(x))

    def next(self, x: Any, cache: Any, position: Any) -> tuple[Any, Any]:
        """The same for tokens from `position` on, with what was kept of those before."""
        y, cache = self.attention(self.first(x), cache=cache, position=position)
        x = x + y
        return x + self.inner(self.second(x)), cache


class Model(nn.Module):
    """Letters `(N, n)` -> scores of the next letters `(N, n, letters)`."""

    def __init__(self, letters: int, length: int, width: int, heads: int, layers: int) -> None:
        self.letters, self.places = nn.Embedding(letters, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.last = nn.LayerNorm(width)
        self.scores = nn.Linear(width, letters, bias=False)

    def forward(self, codes: Any) -> Any:
        n = codes.shape[1]
        x = self.letters(codes) + self.places(np.arange(n))
        for block in self.blocks:
            x = block(x, np.tril(np.ones((n, n), bool)))
        return self.scores(self.last(x))


class Writer(nn.Module):
    """Goes on from letters `(n,)`, by the loop with caches: the letters that were drawn `(count,)`."""

    def __init__(self, model: Model, count: int, temperature: float) -> None:
        self.model, self.count, self.temperature = model, count, temperature

    def forward(self, start: Any, noise: Any) -> Any:
        model, first = self.model, start.shape[0]

        def through(codes: Any, caches: Any, position: Any) -> tuple[Any, Any]:
            # The scores after the last of these letters.
            places = position + np.arange(codes.shape[0])
            x = tl.reshape(model.letters(codes) + model.places(places), (1, codes.shape[0], -1))
            kept = []
            for block, cache in zip(model.blocks, caches, strict=True):
                x, cache = block.next(x, cache, position)
                kept.append(cache)
            return model.scores(model.last(x[0, -1])), kept

        def step(state: Any, now: Any) -> tuple[Any, Any]:
            scores, caches = state
            i, gumbel = now
            # The largest of scores and such noise is a draw by the scores.
            letter = tl.argmax(scores / self.temperature + gumbel, axis=-1)
            return through(tl.reshape(letter, (1,)), caches, i), letter

        caches = [block.attention.cache(tl, 1, first + self.count) for block in model.blocks]
        state = through(start, caches, 0)
        return tl.scan(step, state, (first + np.arange(self.count), noise))[1]


def train(args: argparse.Namespace, model: Model, codes: np.ndarray) -> list[float]:
    """Steps of AdamW on stretches of the text."""
    rng, length = np.random.default_rng(args.seed), args.context

    def loss(scores: Any, targets: Any) -> Any:
        return tl.cross_entropy(tl.reshape(scores, (-1, scores.shape[-1])), tl.reshape(targets, (-1,)))

    spec = tl.Spec((args.batch, length), "int64")
    trainer = tl.ScalarTrainer(tl.Options(), model.state(), [spec, spec], model.program(loss))
    told, losses = common.Progress(args.steps, "step"), []
    for k in range(args.steps):
        at = rng.integers(0, len(codes) - length, args.batch)[:, None] + np.arange(length)
        rate = args.lr * min(1.0, (k + 1) / 50) * (0.05 + 0.95 * (1 + np.cos(np.pi * k / args.steps)) / 2)
        losses.append(trainer.adamw_step(rate, 0.9, 0.99, 1e-8, 1e-2, codes[at], codes[at + 1]).item())
        told(k + 1, f"loss {losses[-1]:.4f}")
    return losses


def write(model: Model, start: np.ndarray, count: int, temperature: float, seed: int) -> tuple[np.ndarray, float]:
    """Letters with a cache, and how long one took."""
    writer, values = Writer(model, count, temperature), model.state_dict()
    run = tl.jit(lambda values, start, noise: writer.apply({f"model.{k}": v for k, v in values.items()}, start, noise))
    noise = np.random.default_rng(seed).gumbel(size=(count, model.scores.weight.shape[0])).astype(np.float32)
    found = np.asarray(run(values, start, noise))
    passed = []
    for _ in range(5):
        begun = time.perf_counter()
        run(values, start, noise)
        passed.append(time.perf_counter() - begun)
    return found, min(passed) / count


def write_again(model: Model, start: np.ndarray, count: int, temperature: float, seed: int) -> tuple[np.ndarray, float]:
    """The same letters without a cache: the whole text is read for each of them."""
    length, values = len(start) + count, model.state_dict()
    run = tl.jit(lambda values, codes: model.apply(values, codes))
    noise = np.random.default_rng(seed).gumbel(size=(count, model.scores.weight.shape[0])).astype(np.float32)
    codes = np.zeros((1, length), np.int64)
    codes[0, : len(start)] = start
    run(values, codes)
    begun = time.perf_counter()
    for k in range(count):
        at = len(start) + k
        codes[0, at] = int(np.argmax(np.asarray(run(values, codes))[0, at - 1] / temperature + noise[k]))
    return codes[0, len(start) :], (time.perf_counter() - begun) / count


def looks(model: Model, codes: np.ndarray, layer: int) -> np.ndarray:
    """Where the heads of a layer look, for each letter of a line: `(heads, n, n)`."""

    def program(values: Any, codes: Any) -> Any:
        n, found = codes.shape[1], []

        class Watched(nn.Module):
            def __init__(self) -> None:
                self.model = model

            def forward(self, codes: Any) -> Any:
                x = model.letters(codes) + model.places(np.arange(n))
                for k, block in enumerate(model.blocks):
                    if k == layer:
                        z, a = block.first(x), block.attention
                        q, key = ((z @ w).reshape(n, a.heads, -1).swapaxes(0, 1) for w in (a.wq, a.wk))
                        scores = q @ key.swapaxes(1, 2) / np.sqrt(q.shape[2])
                        found.append(tl.softmax(tl.where(np.tril(np.ones((n, n), bool)), scores, -1e9)))
                    x = block(x, np.tril(np.ones((n, n), bool)))
                return found[0]

        return Watched().apply({f"model.{k}": v for k, v in values.items()}, codes)

    return np.asarray(tl.jit(program)(model.state_dict(), codes[None]))


def draw(args: argparse.Namespace, line: str, weights: np.ndarray, losses: list[float], speeds: Any) -> None:
    """The loss, the time for a letter with and without a cache, and attention over a line."""
    figure, (loss, speed, heads) = common.panels(3, (13, 4), (1, 1, 1.2))
    loss.plot(np.arange(1, len(losses) + 1), losses, color=common.BLUE, linewidth=0.8)
    loss.set(title="Training", xlabel="step of AdamW", ylabel="cross-entropy, nats a letter")
    lengths, kept, again = speeds
    speed.plot(lengths, 1e3 * np.array(again), "o-", color=common.RED, label="whole text each time")
    speed.plot(lengths, 1e3 * np.array(kept), "o-", color=common.BLUE, label="with a cache")
    speed.set(title="Time to write a letter", xlabel="letters written", ylabel="ms", xscale="log", yscale="log")
    speed.set_xticks(lengths, [str(n) for n in lengths])
    speed.set_xticks([], minor=True)
    speed.legend(frameon=False, fontsize=9)
    image = heads.imshow(weights, cmap="Blues", vmin=0, vmax=1)
    letters = [c if c not in " \n" else {" ": "␣", "\n": "↵"}[c] for c in line]
    heads.set_xticks(range(len(line)), letters, fontsize=7)
    heads.set_yticks(range(len(line)), letters, fontsize=7)
    heads.set(title="Where one head looks", xlabel="letter looked at", ylabel="letter that looks")
    heads.tick_params(length=0)
    figure.colorbar(image, ax=heads, shrink=0.8, label="weight")
    common.save(figure, args, "gpt_cache.png")


def main() -> None:
    """Train, write both ways, compare, draw."""
    p = common.parser(__file__, __doc__)
    p.add_argument("--data", metavar="FILE", type=Path, help="a text in UTF-8 (default: sentences of a small grammar)")
    p.add_argument("--steps", type=int, help="of AdamW (default: 1000)")
    p.add_argument("--batch", type=int, default=8, help="stretches of text in a step (default: %(default)s)")
    p.add_argument("--context", type=int, default=128, help="letters of a stretch (default: %(default)s)")
    p.add_argument("--width", type=int, default=64, help="default: %(default)s")
    p.add_argument("--heads", type=int, default=4, help="default: %(default)s")
    p.add_argument("--layers", type=int, default=2, help="default: %(default)s")
    p.add_argument("--lr", type=float, default=3e-3, help="default: %(default)s")
    p.add_argument("--length", type=int, help="letters to write (default: 400)")
    p.add_argument("--temperature", type=float, default=0.7, help="below 1 bolder letters are rarer (default: %(default)s)")
    args = p.parse_args()
    common.settle(args, steps=(1000, 15), length=(400, 40))
    if (
        min(args.steps, args.batch, args.context, args.width, args.heads, args.layers, args.length) < 1
        or not args.lr > 0 < args.temperature
    ):
        p.error("every number but the seed must be greater than 0")
    if args.width % args.heads:
        p.error(f"--width must be a multiple of --heads, got {args.width} and {args.heads}")
    text = args.data.read_text(encoding="utf-8") if args.data else sentences(np.random.default_rng(args.seed), 3000)
    letters = sorted(set(text))
    codes = np.array([letters.index(c) for c in text], np.int64)
    if len(codes) < args.context + 2:
        p.error(f"the text must have more than {args.context + 1} letters, got {len(codes)}")
    model = Model(len(letters), max(args.context, args.length + 32), args.width, args.heads, args.layers).init(args.seed)
    print(f"{len(text):,} letters, {len(letters)} different; {model.count():,} parameters")
    losses = train(args, model, codes)
    model.eval()
    line = text[: text.find("\n") + 1 or 24][:32]
    start = codes[: min(len(line), args.context)]
    # Positions behind those of training were never seen: what is written goes on for the length of the context.
    count = min(args.length, args.context - len(start)) if args.context > len(start) else 1
    found, _ = write(model, start, count, args.temperature, args.seed)
    same, _ = write_again(model, start, count, args.temperature, args.seed)
    print(line + "".join(letters[k] for k in found).rstrip("\n"))
    print(f"the same letters without a cache: {np.array_equal(found, same)}")
    lengths = [n for n in (25, 50, 100, 200, 400, 800) if n <= args.length]
    kept = [write(model, start, n, args.temperature, args.seed)[1] for n in lengths]
    again = [write_again(model, start, n, args.temperature, args.seed)[1] for n in lengths]
    for n, a, b in zip(lengths, kept, again, strict=True):
        print(f"{n} letters: {1e3 * a:.3f} ms each with a cache, {1e3 * b:.3f} ms without")
    if args.plot:
        heads = looks(model, start, args.layers - 1)
        # The head that looks farthest back.
        far = [(w * np.abs(np.subtract.outer(np.arange(len(start)), np.arange(len(start))))).sum() for w in heads]
        draw(args, line[: len(start)], heads[int(np.argmax(far))], losses, (lengths, kept, again))


if __name__ == "__main__":
    common.run(main, __file__)
