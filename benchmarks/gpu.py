"""Measures tlean on a GPU against PyTorch on the same one, by the device's own events.

    python benchmarks/gpu.py --markdown benchmarks/RESULTS.md

Both libraries share one process, the device and the same arrays, and take turns; a turn is as many calls as fill some milliseconds, between
two events on the library's own stream; a figure is the median over the turns. A single kernel's calls are recorded as a CUDA graph by both,
so that neither pays for Python between them; training steps run as a user runs them. Where PyTorch has no CUDA, or is not installed,
tlean's figures are alone.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from report.measures import time_text
from report.page import write_part
from report.summary import environment
from rows.gpu import KernelRow, StepRow, draw, kernel_rows, step_rows

import tlean as tl
from tlean.cuda.runtime.context import Context, context
from tlean.cuda.runtime.graphs import capture, wanted

TITLE = "# GPU"
TURN_SECONDS = 0.02
TURNS = 9
#: Calls in one recorded graph.
RECORDED = 10
#: Largest difference from PyTorch's values, as a part of the largest value; products of 10 bits differ more.
TOLERANCE = {"fp32": 1e-3, "tf32": 1e-2}


class Ours:
    """tlean's side: its stream, and events on it."""

    def __init__(self, where: Context) -> None:
        self.where = where
        with where.current() as driver:
            self.first, self.last = driver.event(timed=True), driver.event(timed=True)

    def recorded(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """Several calls as one graph, or one after another where there are no graphs."""

        def all_of_them() -> None:
            for _ in range(RECORDED):
                call()

        # The driver gives no memory while it records: after a first time the pool has it.
        all_of_them()
        with self.where.current():
            graph = capture(self.where, all_of_them) if wanted(self.where) else None
        return graph.launch if graph is not None else all_of_them

    def seconds(self, call: Callable[[], Any], times: int) -> float:
        """The device's time for one call, of so many."""
        with self.where.current():
            self.first.record(self.where.stream)
            for _ in range(times):
                call()
            self.last.record(self.where.stream)
            self.last.synchronize()
            return self.first.time_till(self.last) * 1e-3 / times


class Theirs:
    """PyTorch's side."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self.first, self.last = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def recorded(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """Several calls as one graph, by PyTorch's own way of recording."""
        side = self.torch.cuda.Stream()
        with self.torch.cuda.stream(side):
            for _ in range(3):
                call()
        self.torch.cuda.synchronize()
        graph = self.torch.cuda.CUDAGraph()
        with self.torch.cuda.graph(graph):
            for _ in range(RECORDED):
                call()
        return graph.replay  # type: ignore[no-any-return]

    def seconds(self, call: Callable[[], Any], times: int) -> float:
        """As `Ours.seconds`."""
        self.first.record()
        for _ in range(times):
            call()
        self.last.record()
        self.last.synchronize()
        return float(self.first.elapsed_time(self.last)) * 1e-3 / times


def find_torch() -> tuple[Any, str]:
    """PyTorch with its own device, or None and why not."""
    try:
        import torch
    except ImportError:
        return None, "PyTorch is not installed: tlean's figures are alone."
    if not torch.cuda.is_available():
        return None, f"PyTorch {torch.__version__} has no CUDA device here: tlean's figures are alone."
    return torch, ""


def compare(sides: dict[str, tuple[Any, Callable[[], Any]]], budget: float) -> dict[str, float]:
    """The median seconds of a call of each side, which take turns."""
    times = {}
    for name, (side, call) in sides.items():
        once = max(side.seconds(call, 1), side.seconds(call, 2), 1e-6)
        times[name] = max(1, min(1000, int(TURN_SECONDS / once)))
    samples: dict[str, list[float]] = {name: [] for name in sides}
    begun, turn = time.monotonic(), 0
    while turn < 3 or (turn < TURNS and time.monotonic() - begun < budget):
        names = list(sides)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            side, call = sides[name]
            samples[name].append(side.seconds(call, times[name]))
        turn += 1
    return {name: statistics.median(found) for name, found in samples.items()}


def first_of(found: Any) -> Any:
    """The main result of a call."""
    return found[0] if isinstance(found, list | tuple) else found


def measure_kernel(row: KernelRow, where: Context, torch: Any, budget: float) -> dict[str, Any]:
    """One kernel on both sides. Raises: RuntimeError where they computed different things."""
    arrays = draw(row)
    ops = tl.cuda.ops(precision=row.precision)
    there = [tl.cuda.to_device(a) for a in arrays]
    ours = Ours(where)
    sides: dict[str, tuple[Any, Callable[[], Any]]] = {}
    value = first_of(row.ours(ops, *there)).numpy()
    sides["tlean"] = (ours, ours.recorded(lambda: row.ours(ops, *there)))
    if torch is not None:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = row.precision == "tf32"
        theirs = Theirs(torch)
        tensors = [torch.from_numpy(a).cuda().requires_grad_(row.differentiate) for a in arrays]
        y = row.theirs(torch, *tensors)
        if not row.differentiate:
            expected = y.cpu().numpy()
            if not np.allclose(value, expected, rtol=0, atol=TOLERANCE[row.precision] * float(np.abs(expected).max())):
                raise RuntimeError("the libraries computed different things")
        g = y.detach()

        def call() -> Any:
            found = row.theirs(torch, *tensors)
            return torch.autograd.grad(found, tensors, g) if row.differentiate else found

        sides["torch"] = (theirs, theirs.recorded(call))
    seconds = {name: s / RECORDED for name, s in compare(sides, budget).items()}
    return {"row": row.name, "family": row.family, "seconds": seconds, "flops": row.flops, "bytes": row.bytes}


def measure_step(row: StepRow, where: Context, torch: Any, budget: float) -> dict[str, Any]:
    """One training step on both sides."""
    sides: dict[str, tuple[Any, Callable[[], Any]]] = {"tlean": (Ours(where), row.ours())}
    if torch is not None:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        sides["torch"] = (Theirs(torch), row.theirs(torch))
    for _, call in sides.values():
        for _ in range(5):
            call()
    return {"row": row.name, "family": "training steps", "seconds": compare(sides, budget), "flops": 0.0, "bytes": 0.0}


def memory_bandwidth(where: Context) -> float:
    """Bytes a second that the device's memory could move at its clock: twice the clock (double data rate) times the width of the bus."""
    with where.current() as driver:
        device = driver.device(where.device)
        kilohertz, bits = device.attribute("MEMORY_CLOCK_RATE"), device.attribute("GLOBAL_MEMORY_BUS_WIDTH")
    return 2.0 * kilohertz * 1e3 * bits / 8


def rate(result: dict[str, Any], seconds: float, bandwidth: float) -> str:
    """What a time means: operations a second, or the share of the memory's bandwidth."""
    if result["bytes"] and not result["flops"]:
        moved = result["bytes"] / seconds
        return f"{moved / 1e9:,.0f} GB/s" + (f" ({moved / bandwidth:.0%})" if bandwidth else "")
    return f"{result['flops'] / seconds / 1e12:.1f} TFLOP/s" if result["flops"] else ""


def cells(result: dict[str, Any], bandwidth: float) -> list[str]:
    """A result as the cells of a table's row."""
    ours, theirs = result["seconds"]["tlean"], result["seconds"].get("torch")
    texts = [result["row"], time_text(ours), rate(result, ours, bandwidth) or "–"]
    if theirs is not None:
        texts += [time_text(theirs), rate(result, theirs, bandwidth) or "–", f"{ours / theirs:.2f}"]
    return texts


def page(results: list[dict[str, Any]], failed: list[str], where: Context, note: str, torch: Any) -> list[str]:
    """The part of the page."""
    about, bandwidth = environment(), memory_bandwidth(where)
    versions = f"tlean {about['tlean']}, PyTorch {torch.__version__ if torch else '–'}, Python {about['python']}"
    lines = [
        TITLE,
        "",
        "Written by `make bench-cuda`; the rows are in `benchmarks/gpu_rows.py`. float32. Times are the device's, by its events; both",
        "libraries take turns; medians. The ratio is tlean's time over PyTorch's: **below 1 tlean is faster**. Shares of bandwidth are of",
        f"{bandwidth / 1e9:,.0f} GB/s, what its clock and width give." if bandwidth else "the device's, which it does not tell.",
        "",
        f"{about['date']} · {where.name}, {where.arch} · {versions}",
    ]
    lines += ["", note] if note else []
    for family in dict.fromkeys(r["family"] for r in results):
        group = [r for r in results if r["family"] == family]
        head = ["row", "tlean", "rate", *(["PyTorch", "rate", "ratio"] if torch is not None else [])]
        lines += ["", f"## {family[0].upper()}{family[1:]}", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
        lines += [f"| {' | '.join(cells(r, bandwidth))} |" for r in group]
    if failed:
        lines += ["", "Not measured:", "", *(f"- {text}" for text in failed)]
    return [*lines, ""]


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", default="", metavar="REGEX", help="only rows whose name it matches")
    p.add_argument("--budget", type=float, default=1.5, help="seconds for a row (default: %(default)s)")
    p.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, measures nothing")
    p.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables, in the place of the page's part about the GPU")
    args = p.parse_args()
    where = context()
    torch, note = find_torch()
    print(f"{where.name}, {where.arch}. {note}", flush=True)
    results, failed = [], []
    rows: list[KernelRow | StepRow] = [*kernel_rows(args.quick), *step_rows(args.quick)]
    for row in rows:
        if not re.search(args.rows, row.name):
            continue
        measure: Callable[..., dict[str, Any]] = measure_kernel if isinstance(row, KernelRow) else measure_step
        try:
            results.append(measure(row, where, torch, args.budget))
        except (RuntimeError, tl.TleanError) as error:
            failed.append(f"{row.name}: {str(error).splitlines()[0]}")
            print(failed[-1], flush=True)
            continue
        print("".join(f"{c:>30}" for c in cells(results[-1], memory_bandwidth(where))), flush=True)
    if args.json:
        args.json.write_text(json.dumps({"device": where.name, "results": results, "failed": failed}, indent=1))
    if args.markdown:
        write_part(args.markdown, "\n".join(page(results, failed, where, note, torch)))


if __name__ == "__main__":
    main()
