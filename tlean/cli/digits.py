"""The job of reading handwritten digits, for any model: the command line, initial values, the training loop, the test, what is written.

What depends on the seed alone is printed to standard output, so two runs with one seed print the same; speed and time left go to standard
error.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import tlean as tl
from tlean.files import writable
from tlean.train import checkpoint, mnist
from tlean.train.progress import progress, say

from . import positive

LEARNING_RATES = {"adam": 2e-3, "adamw": 2e-3, "sgd": 5e-2}
BETA1, BETA2, EPS, WEIGHT_DECAY = 0.9, 0.999, 1e-8, 1e-2


@dataclass
class History:
    """What the curves are drawn from."""

    step_loss: list[float] = field(default_factory=list)
    steps_per_epoch: int = 0
    train_accuracy: list[float] = field(default_factory=list)
    test_loss: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)


class Meter:
    """The mean loss and the share of digits read right, over an epoch so far."""

    def __init__(self) -> None:
        self.seen, self.right, self.loss_sum = 0, 0, 0.0

    def add(self, loss: float, right: int, count: int) -> None:
        """Count a batch with this mean loss."""
        self.seen += count
        self.right += right
        self.loss_sum += loss * count

    @property
    def accuracy(self) -> float:
        return self.right / max(self.seen, 1)

    def report(self) -> str:
        """Both, as text."""
        return f"loss {self.loss_sum / max(self.seen, 1):.4f}  accuracy {self.accuracy:.2%}"


def parse(name: str, about: str | None, epochs: int, argv: list[str] | None, prog: str | None = None) -> argparse.Namespace:
    """The options of the command line."""
    p = argparse.ArgumentParser(prog=prog or f"{name}.py", description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", metavar="DIR", help="folder with the MNIST files (default: $TLEAN_DATA, the cache, the network)")
    p.add_argument("--epochs", type=positive(int), default=epochs, help="passes over the training digits (default: %(default)s)")
    p.add_argument("--batch-size", type=positive(int), default=32, help="digits in a step (default: %(default)s)")
    p.add_argument("--optimizer", choices=LEARNING_RATES, default="adam", help="default: %(default)s")
    p.add_argument(
        "--lr", type=positive(float), help="learning rate (default: " + ", ".join(f"{k} {v:g}" for k, v in LEARNING_RATES.items()) + ")"
    )
    p.add_argument("--schedule", choices=("cosine", "constant"), default="cosine", help="of the learning rate (default: %(default)s)")
    p.add_argument("--backend", choices=("eager", "compiled"), default="eager", help="default: %(default)s")
    p.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (default: %(default)s)")
    p.add_argument("--seed", type=int, default=0, help="of initial values and shuffles (default: %(default)s)")
    p.add_argument("--threads", type=positive(int), help="threads of the kernels (default: as many as there are cores)")
    p.add_argument("--samples", type=positive(int), help="train on the first so many digits only")
    p.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("out"), help="where the model and the pictures go (default: %(default)s)"
    )
    p.add_argument("--plot", action=argparse.BooleanOptionalAction, default=True, help="draw the curves and the misread digits")
    return p.parse_args(argv)


def initial_values(parameters: dict[str, tuple[int, ...]], seed: int) -> list[np.ndarray]:
    """Weights uniform in ±√(6 / fan-in), biases 0.

    Source: He, Zhang, Ren, Sun, "Delving deep into rectifiers", ICCV 2015, equation 10.
    """
    rng = tl.Rng(seed)
    values = []
    for shape in parameters.values():
        if len(shape) == 1:
            values.append(np.zeros(shape, np.float32))
        else:
            bound = math.sqrt(6 / math.prod(shape[1:]))
            values.append(rng.uniform(shape, -bound, bound))
    return values


def train(args: argparse.Namespace, trainer: tl.ScalarTrainer, digits: mnist.Digits) -> History:
    """Train for all epochs, testing after each."""
    batch = trainer.input_specs[0].shape[0]
    loader = tl.data.DataLoader(digits.train, batch, shuffle=True, seed=args.seed, drop_last=True)
    history = History(steps_per_epoch=len(loader))
    lr = args.lr or LEARNING_RATES[args.optimizer]
    total, step = args.epochs * len(loader), 0
    for epoch in range(1, args.epochs + 1):
        meter, title = Meter(), f"epoch {epoch}/{args.epochs}"
        for images, labels in progress(loader, title, len(loader) * batch, meter.report, lambda b: len(b[0]), "digits"):
            now = lr * (1 + math.cos(math.pi * step / total)) / 2 if args.schedule == "cosine" else lr
            if args.optimizer == "sgd":
                loss = trainer.step(now, images, labels).item()
            elif args.optimizer == "adam":
                loss = trainer.adam_step(now, BETA1, BETA2, EPS, images, labels).item()
            else:
                loss = trainer.adamw_step(now, BETA1, BETA2, EPS, WEIGHT_DECAY, images, labels).item()
            if not math.isfinite(loss):
                raise SystemExit(f"the loss became {loss} at step {step} of epoch {epoch}: try a smaller --lr than {lr:g}")
            step += 1
            meter.add(loss, int((np.asarray(trainer.aux).argmax(axis=1) == labels).sum()), batch)
            history.step_loss.append(loss)
        scores, test_loss = test(trainer, digits.test)
        accuracy = float((scores.argmax(axis=1) == digits.test.arrays[1]).mean())
        history.train_accuracy.append(meter.accuracy)
        history.test_loss.append(test_loss)
        history.test_accuracy.append(accuracy)
        print(f"epoch {epoch}/{args.epochs}  {meter.report()}  test loss {test_loss:.4f}  test accuracy {accuracy:.2%}", flush=True)
    return history


def test(trainer: tl.ScalarTrainer, data: tl.data.Dataset) -> tuple[np.ndarray, float]:
    """The scores `(n, 10)` of every digit of a data set, and their mean loss."""
    batch, n = trainer.input_specs[0].shape[0], len(data)
    scores, total = [], 0.0
    for start in range(0, n, batch):
        # Every call has the shape that the trainer was made for: the last one reaches back, and counts only what is new.
        first = max(0, min(start, n - batch))
        images, labels = data[first : first + batch]
        trainer.forward(images, labels)
        new = np.array(trainer.aux)[start - first :]
        scores.append(new)
        total += _cross_entropy(new, labels[start - first :])
    return np.concatenate(scores), total / n


def _cross_entropy(scores: np.ndarray, labels: np.ndarray) -> float:
    """The sum of −log softmax(scores)[label]."""
    top = scores.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(scores - top).sum(axis=1)) + top[:, 0]
    return float((log_total - scores[np.arange(len(labels)), labels]).sum())


def main(
    name: str,
    about: str | None,
    model: Callable[..., Any],
    parameters: dict[str, tuple[int, ...]],
    epochs: int,
    argv: list[str] | None = None,
    prog: str | None = None,
) -> None:
    """Read the command line, train, test, write the model and the pictures.

    Args:
        model: `model(ops, *parameters, images)` returns scores `(N, 10)`.
        parameters: name -> shape.
        epochs: by default.
        argv: the command line; None: the process's.
    """
    args = parse(name, about, epochs, argv, prog)
    try:
        run(name, args, model, parameters)
    except (tl.TleanError, OSError) as error:
        raise SystemExit(f"{prog or name + '.py'}: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def run(name: str, args: argparse.Namespace, model: Callable[..., Any], parameters: dict[str, tuple[int, ...]]) -> None:
    """One run with these options."""
    if args.threads:
        tl.set_num_threads(args.threads)
    # What could not be written in the end is found before the work.
    args.out.mkdir(parents=True, exist_ok=True)
    path = writable("--out", args.out / f"{name}.safetensors")
    with _optional("the model will not be saved"):
        checkpoint.package()
    digits = mnist.load(args.data)
    if args.samples:
        digits = mnist.Digits(digits.train.take(slice(0, args.samples)), digits.test, digits.source)
    print(digits.source)

    def loss(ops: Any, *refs: Any) -> tuple[Any, Any]:
        *params, images, labels = refs
        scores = model(ops, *params, images)
        return ops.cross_entropy(scores, labels), scores

    batch = min(args.batch_size, len(digits.train), len(digits.test))
    options = tl.Options(backend=args.backend, device=args.device, seed=args.seed)
    shapes = [(batch, *digits.train.arrays[0].shape[1:]), tl.Spec((batch,), "int64")]
    trainer = tl.ScalarTrainer(options, initial_values(parameters, args.seed), shapes, loss)
    count = sum(math.prod(shape) for shape in parameters.values())
    print(f"{name}: {count:,} parameters, {len(digits.train):,} digits, batches of {batch}, {args.optimizer}, seed {args.seed}")

    begun = time.perf_counter()
    history = train(args, trainer, digits)
    say(f"trained and tested in {time.perf_counter() - begun:.1f} s on {tl.get_num_threads()} threads")
    scores, _ = test(trainer, digits.test)
    about = {"model": name, "seed": args.seed, "test_accuracy": history.test_accuracy[-1]}
    with _optional("the model was not saved"):
        tl.save(path, dict(zip(parameters, trainer.get_params(), strict=True)), about=about)
        print(f"model: {args.out / path.name}")
    if args.plot:
        with _optional("no pictures"):
            from . import pictures

            for picture in (
                pictures.curves(history, f"{name}: {digits.source}", args.out / f"{name}_curves.png"),
                pictures.misread(digits.test, scores, args.out / f"{name}_misread.png"),
            ):
                print(f"picture: {picture}")
    print(f"test accuracy: {history.test_accuracy[-1]:.2%}")


@contextmanager
def _optional(without: str) -> Iterator[None]:
    # What needs a package that the library itself does not: said, and left out, where it is not installed.
    try:
        yield
    except ImportError as error:
        say(f"{without}: {error}")
