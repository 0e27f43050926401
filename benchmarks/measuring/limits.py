"""What the machine could do at most, and what a row asks of it: together the least time that the row can take.

The limits come from `probe.c`, built by the system's C compiler and run beside the measurement. What a row asks is read from tlean's own
record of it: the operations from the cost model, the bytes from the program's inputs and outputs, each moved once.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rows.base import Work

PROBE = Path(__file__).parent / "probe.c"
FLAGS = {"native": ["-march=native"], "base": [], "avx2": ["-mavx2", "-mfma"], "avx512": ["-mavx512f", "-mavx2", "-mfma"]}


@dataclass(frozen=True)
class Level:
    """A level of memory: its capacity with all cores in use, and bytes per second read, copied (both sides counted) and filled."""

    name: str
    bytes: float
    read: float
    copy: float
    fill: float


@dataclass(frozen=True)
class Limits:
    """The machine with so many threads: operations per second in all, and the levels of memory from the nearest on."""

    flops: float
    levels: tuple[Level, ...]

    def seconds(self, work: Work) -> float:
        """The least time for that work: that of its operations or that of its bytes, whichever is longer.

        The bytes come from the nearest level that holds them all. As much as is both read and written goes at the speed of a copy, the rest
        at that of reading or filling alone.
        """
        level = next(found for found in self.levels if work.reads + work.writes <= found.bytes)
        both = min(work.reads, work.writes)
        rest = (work.reads - both) / level.read + (work.writes - both) / level.fill
        return max(work.flops / self.flops, 2 * both / level.copy + rest)


def probe(threads: int, isa: str = "native") -> Limits | None:
    """The machine's limits, measured now; None, with a word on standard error, where there is no C compiler."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        print("no C compiler was found: without benchmarks/probe.c nothing is said about the machine's limits", file=sys.stderr)
        return None
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "probe")
        subprocess.run([*compiler.split(), "-O3", *FLAGS[isa], "-pthread", str(PROBE), "-o", program], check=True)
        found = json.loads(subprocess.run([program, str(threads)], capture_output=True, text=True, check=True).stdout)
    return limits_of(found)


def limits_of(found: dict[str, Any]) -> Limits:
    """Limits from what the probe prints."""
    return Limits(found["flops"], tuple(Level(**level) for level in found["levels"]))


def limits_as_json(limits: Limits) -> dict[str, Any]:
    """What `limits_of` reads."""
    return asdict(limits)


def best(a: Limits, b: Limits) -> Limits:
    """The higher of two measurements of one machine, figure by figure."""
    levels = tuple(
        Level(x.name, x.bytes, max(x.read, y.read), max(x.copy, y.copy), max(x.fill, y.fill))
        for x, y in zip(a.levels, b.levels, strict=True)
    )
    return Limits(max(a.flops, b.flops), levels)
