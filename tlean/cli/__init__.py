"""The command line: `python -m tlean info | bench | check | mnist`."""

from __future__ import annotations

import argparse
import importlib
import sys

COMMANDS = {
    "info": "versions, instruction set, threads, CUDA",
    "bench": "measure this machine with this installation: a table in about two minutes",
    "check": "check every op of this installation: values, derivatives, backends, errors",
    "mnist": "a convolutional network learns to read handwritten digits",
}


def main(argv: list[str] | None = None) -> None:
    """Run a command. Exits with 0 where all went well, 1 where something was wrong, 2 for a command line that makes no sense."""
    given = sys.argv[1:] if argv is None else argv
    listing = "\n".join(f"  {name:8}{what}" for name, what in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tlean",
        description=f"commands:\n{listing}",
        epilog="`python -m tlean COMMAND --help` lists a command's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of these")
    # The command's own options are its own to read.
    args = parser.parse_args(given[:1])
    importlib.import_module(f".{args.command}", __name__).main(given[1:])
