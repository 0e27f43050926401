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

import numpy as np
from rows import BOTH, FORWARD, RECORDED, Row, StepRow

PROBE = Path(__file__).parent / "probe.c"
FLAGS = {"native": ["-march=native"], "base": [], "avx2": ["-mavx2", "-mfma"], "avx512": ["-mavx512f", "-mavx2", "-mfma"]}


@dataclass(frozen=True)
class Work:
    """What a call of a row must do: operations, and bytes that it reads and writes if everything in between stays in registers."""

    flops: float
    reads: float
    writes: float

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.flops / max(self.reads + self.writes, 1.0)


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


def work_of(row: Row | StepRow) -> dict[str, Work]:
    """What each mode of a row asks of the machine; modes that nothing is known of are left out."""
    if isinstance(row, StepRow):
        return {row.modes[0]: row.work()} if row.work else {}
    import tlean as tl

    arrays = row.arrays(np.random.default_rng(0))
    specs = [tl.Spec(a.shape, "int64") if a.dtype.kind == "i" else a.shape for a in arrays]
    program = tl.compile_out(row.ours, specs)
    frozen = {i for i, a in enumerate(arrays) if i in row.frozen or a.dtype.kind == "i"}
    forward = _traffic(program._forward_graph())
    found = {FORWARD: forward, RECORDED: forward}
    if BOTH in row.modes:
        graph = program._vjp_graph()
        results = len(graph.outputs) - len(arrays)
        graph.outputs = [None if k - results in frozen else value for k, value in enumerate(graph.outputs)]
        found[BOTH] = _traffic(graph)
    return {mode: work for mode, work in found.items() if mode in row.modes}


def _traffic(graph: Any) -> Work:
    """A graph's operations; the bytes of its inputs that some op reads and of the results that some op makes. Views move nothing."""
    from tlean.compiler.cost import cost_of

    needed = graph._needed()
    view_of = {node.outputs[0]: node.inputs[0] for node in needed if node.record.view}

    def origin(value: int) -> int:
        while value in view_of:
            value = view_of[value]
        return value

    working = [node for node in needed if not node.record.view]
    read = {origin(i) for node in working for i in node.inputs if i is not None}
    made = {value for node in working for value in node.outputs}
    given = {i for i in graph.inputs if i is not None} | set(graph.constants)
    results = {origin(value) for value in graph.outputs if value is not None}

    def size(values: set[int]) -> float:
        return float(sum(graph.specs[v].size * np.dtype(graph.specs[v].dtype).itemsize for v in values))

    return Work(cost_of(graph).flops, size(read & given), size(results & made))
