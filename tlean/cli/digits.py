"""What the programs that read handwritten digits share: the options of their command line, and what they write. Each shows its training.

What depends on the seed alone is printed to standard output, so two runs with one seed print the same; speed and time left go to standard
error.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import tlean as tl
from tlean.data import mnist
from tlean.files import writable
from tlean.train import checkpoint
from tlean.train.history import History, plot_curves
from tlean.train.progress import say

from . import positive
from .pictures import misread

#: The optimisers by name, each with its learning rate.
OPTIMIZERS: dict[str, tuple[Any, float]] = {"adam": (tl.optim.Adam, 2e-3), "adamw": (tl.optim.AdamW, 2e-3), "sgd": (tl.optim.SGD, 5e-2)}


def parse(name: str, about: str | None, epochs: int, argv: list[str] | None = None, prog: str | None = None) -> argparse.Namespace:
    """The options of the command line.

    Args:
        name: of the files that are written.
        about: what `--help` says.
        epochs: by default.
        argv: the command line; None: the process's.
        prog: the program's name; None: the file of an example.

    Returns: the options, and `name` and `prog`.
    """
    p = argparse.ArgumentParser(prog=prog or f"{name}.py", description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    rates = ", ".join(f"{k} {lr:g}" for k, (_, lr) in OPTIMIZERS.items())
    p.add_argument("--data", metavar="DIR", help="folder with the MNIST files (default: $TLEAN_DATA, the cache, the network)")
    p.add_argument("--epochs", type=positive(int), default=epochs, help="passes over the training digits (default: %(default)s)")
    p.add_argument("--batch-size", type=positive(int), default=32, help="digits in a step (default: %(default)s)")
    p.add_argument("--optimizer", choices=OPTIMIZERS, default="adam", help="default: %(default)s")
    p.add_argument("--lr", type=positive(float), help=f"learning rate (default: {rates})")
    p.add_argument("--schedule", choices=("cosine", "constant"), default="cosine", help="of the learning rate (default: %(default)s)")
    p.add_argument("--backend", choices=("eager", "compiled"), default="eager", help="default: %(default)s")
    p.add_argument("--device", type=_device, default="cpu", help="cpu, cuda or cuda:1 (default: %(default)s)")
    p.add_argument("--seed", type=int, default=0, help="of initial values and shuffles (default: %(default)s)")
    p.add_argument("--threads", type=positive(int), help="threads of the kernels (default: as many as there are cores)")
    p.add_argument("--samples", type=positive(int), help="train on the first so many digits only")
    p.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("out"), help="where the model and the pictures go (default: %(default)s)"
    )
    p.add_argument("--distributed", action="store_true", help="train by all ranks of the job that mpiexec started")
    p.add_argument("--plot", action=argparse.BooleanOptionalAction, default=True, help="draw the curves and the misread digits")
    return p.parse_args(argv, argparse.Namespace(name=name, prog=p.prog))


def _device(text: str) -> str:
    try:
        return tl.Options(device=text).device
    except tl.OptionError as error:
        raise argparse.ArgumentTypeError(str(error).partition(": ")[2]) from None


@contextmanager
def opened(args: argparse.Namespace) -> Iterator[mnist.Digits]:
    """The digits to train on and to test on, for a program that ends with a line where something is wrong.

    Raises: SystemExit for an error of the library or the system inside the block.
    """
    try:
        # Rank 0 is the one that talks.
        silent = args.distributed and not tl.distributed.world().root
        with redirect_stdout(io.StringIO()) if silent else nullcontext():
            yield from _opened(args)
    except tl.NumericsError as error:
        raise SystemExit(f"{args.prog}: {str(error).replace('a smaller learning rate', 'a smaller --lr')}") from None
    except (tl.TleanError, OSError) as error:
        raise SystemExit(f"{args.prog}: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def trainer(args: argparse.Namespace) -> Callable[..., History]:
    """What trains: `tl.fit`, or that of all ranks."""
    fit: Callable[..., History] = tl.distributed.fit if args.distributed else tl.fit
    return fit


def _opened(args: argparse.Namespace) -> Iterator[mnist.Digits]:
    if args.threads:
        tl.set_num_threads(args.threads)
    # A device that is not there, and a target that cannot be written, are errors before the work and before a download.
    if args.device != "cpu" and not args.distributed:
        tl.Session(tl.Options(device=args.device))
    args.out.mkdir(parents=True, exist_ok=True)
    writable("--out", _target(args))
    with _optional("the model will not be saved"):
        checkpoint.package()
    digits = tl.distributed.world().root_first(lambda: mnist.load(args.data)) if args.distributed else mnist.load(args.data)
    print(digits.source)
    train = digits.train.take(slice(0, args.samples))
    args.batch_size = min(args.batch_size, len(train))
    print(f"{args.name}: {len(train):,} digits, batches of {args.batch_size}, {args.optimizer}, seed {args.seed}")
    yield mnist.Digits(train, digits.test, digits.source)


def optimizer(args: argparse.Namespace, params: list[tl.Param]) -> Any:
    """The optimiser that the options name, over these parameters."""
    kind, lr = OPTIMIZERS[args.optimizer]
    return kind(params, lr=args.lr or lr)


def write(args: argparse.Namespace, digits: mnist.Digits, model: tl.nn.Module, history: History, scores: Any) -> None:
    """Print a line for every epoch, and write the model and the pictures.

    Args:
        args: the options.
        digits: what the model was trained and tested on.
        model: the trained model.
        history: of the training.
        scores: of the test digits, `(n, 10)`.

    Raises: KeyboardInterrupt after a training that was interrupted.
    """
    if history.ended == "interrupted":
        raise KeyboardInterrupt
    if args.distributed and not tl.distributed.world().root:
        return
    for row in history.epochs:
        learned = f"loss {row['loss']:.4f}  accuracy {row['accuracy']:.2%}"
        print(f"epoch {row['epoch']}/{args.epochs}  {learned}  test loss {row['val_loss']:.4f}  test accuracy {row['val_accuracy']:.2%}")
    with _optional("the model was not saved"):
        about = {"model": args.name, "seed": args.seed, "test_accuracy": history.epochs[-1]["val_accuracy"]}
        tl.save(_target(args), dict(model.named_parameters()), about=about)
        print(f"model: {_target(args)}")
    if args.plot:
        with _optional("no pictures"):
            curves, wrong = (args.out / f"{args.name}_{what}.png" for what in ("curves", "misread"))
            plot_curves(history, curves, f"{args.name}: {digits.source}")
            print(f"picture: {curves}")
            misread(digits.test, scores, wrong)
            print(f"picture: {wrong}")


def _target(args: argparse.Namespace) -> Path:
    folder: Path = args.out
    return folder / f"{args.name}.safetensors"


@contextmanager
def _optional(without: str) -> Iterator[None]:
    # What needs a package that the library itself does not: said, and left out, where it is not installed.
    try:
        yield
    except ImportError as error:
        say(f"{without}: {error}")
