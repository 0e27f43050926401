"""`tlean export`: a saved program as C."""

from __future__ import annotations

import argparse

import tlean as tl
from tlean.errors import OptionError
from tlean.interop.c_code.writer import SMALL

from . import positive


def main(argv: list[str]) -> None:
    """Write the C file and the header of a program that `tl.save_program` wrote."""
    parser = argparse.ArgumentParser(prog="tlean export", description="a program of tl.save_program as one C file and a header")
    parser.add_argument("program", help="the file of the program, .safetensors")
    parser.add_argument("target", help="the C file to write, .c; the header is beside it")
    parser.add_argument("--name", help="of the C function (default: that of the program)")
    parser.add_argument("--gradient", action="store_true", help="the value and its gradient, in place of the value")
    parser.add_argument("--parameters", choices=("constants", "arguments"), default="constants", help="what parameters are in C")
    parser.add_argument("--unroll", type=positive(int), default=SMALL, help="up to how many elements arrays have no loops (%(default)s)")
    given = parser.parse_args(argv)
    if not given.target.endswith(".c"):
        raise OptionError(f"the target must end in .c, got {given.target!r}")
    made = tl.export_c(
        tl.load_program(given.program),
        name=given.name,
        what="value_and_grad" if given.gradient else "value",
        path=given.target,
        parameters=given.parameters,
        unroll=given.unroll,
    )
    print(f"{given.target}: {made.name}, {len(made.inputs)} inputs, {len(made.outputs)} outputs")
