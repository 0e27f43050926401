"""The command line: `tlean info | doctor | bench | check | export | mnist`, or `python -m tlean …`."""

from __future__ import annotations

import argparse
import importlib
import io
import math
import os
import sys
from collections.abc import Callable
from typing import Any

import tlean as tl
from tlean.profiling import IN_ASCII

COMMANDS = {
    "info": "versions, instruction set, threads, CUDA",
    "doctor": "what works here, what is missing for the rest, and how to get it",
    "bench": "measure this machine with this installation: a table in about two minutes",
    "check": "check every op of this installation: values, derivatives, backends, errors",
    "export": "write a saved program as C",
    "mnist": "a convolutional network learns to read handwritten digits",
}


def main(argv: list[str] | None = None) -> None:
    """Run a command. Exits with 0 where all went well, 1 where something was wrong, 2 for a command line that makes no sense."""
    given = sys.argv[1:] if argv is None else argv
    listing = "\n".join(f"  {name:8}{what}" for name, what in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="tlean",
        description=f"commands:\n{listing}",
        epilog="`tlean COMMAND --help` lists a command's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of these")
    parser.add_argument("--version", action="version", version=f"tlean {tl.__version__}")
    # Letters that a terminal or a file does not have are written in ASCII.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=IN_ASCII)
    # The command's own options are its own to read.
    if not given:
        parser.print_help(sys.stderr)
        raise SystemExit(2)
    args = parser.parse_args(given[:1])
    try:
        importlib.import_module(f".{args.command}", __name__).main(given[1:])
    except BrokenPipeError:
        # The reader of a pipe went away: what is still to be written goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except (tl.TleanError, OSError) as error:
        raise SystemExit(f"{parser.prog} {args.command}: {error}") from None


def positive(kind: type[Any]) -> Callable[[str], Any]:
    """A converter of an option's text to a finite number above 0."""

    def convert(text: str) -> Any:
        value = kind(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"must be greater than 0, got {text}")
        return value

    convert.__name__ = kind.__name__
    return convert
