"""What several ranks cost and bring: measured on two ranks of this machine, and estimated for many by a model.

    python benchmarks/distributed.py                                   # prints; or: make bench-distributed
    python benchmarks/distributed.py --markdown docs/scaling.md        # writes it between the markers of that page

Measured, under `mpiexec -n 2`: the time of an all-reduce by its length, the step of the digits' convolutional network with and without the
exchange, and how long a rank waits in it. The model takes these, and a network that the command line describes, to estimate weak and strong
scaling. It is a model: no line of it has been measured.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tlean as tl
from tlean import nn
from tlean.distributed import ScalarTrainer, World, world
from tlean.distributed.sums import Exchange

SIZES = [8, 1 << 10, 1 << 14, 1 << 17, 1 << 20, 1 << 22]
ROWS = [1, 2, 4, 8, 16, 32, 64]
MARKERS = ("<!-- measured: begin -->", "<!-- measured: end -->")


class Network(nn.Module):
    """The network of `examples/mnist_cnn.py`: 206,922 parameters."""

    def __init__(self) -> None:
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.hidden = nn.Linear(32 * 7 * 7, 128)
        self.output = nn.Linear(128, 10)

    def forward(self, ops: Any, x: Any) -> Any:
        """The scores."""
        h = ops.max_pool2d(ops.relu(self.conv1(ops, x)), 2)
        h = ops.max_pool2d(ops.relu(self.conv2(ops, h)), 2)
        return self.output(ops, ops.relu(self.hidden(ops, ops.reshape(h, (x.shape[0], -1)))))


# Measured on ranks -------------------------------------------------------------------------------------------------------------


def seconds(function: Callable[[], Any], times: int) -> list[float]:
    """How long each of so many calls took."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        function()
        found.append(time.perf_counter() - begun)
    return found


def tenth(times: list[float]) -> float:
    """The time that a tenth of them stays below: without what else the machine does."""
    return statistics.quantiles(times, n=10)[0]


def all_reduce(ranks: World, size: int) -> float:
    """The seconds of an all-reduce of so many bytes."""
    buffer = np.ones(size // 4, np.float32)
    comm = ranks.channel(1)

    def once() -> None:
        ranks.wait(comm.Iallreduce(ranks.in_place, buffer))
        buffer[:] = 1

    ranks.barrier()
    return tenth(seconds(once, 110)[10:])


def stepper(ranks: World, rows: int, **options: Any) -> Callable[[], Any]:
    """A step of the network on a rank's rows."""
    model = Network().init(0)
    rng = np.random.default_rng(1)
    images, labels = rng.normal(size=(rows, 1, 28, 28)).astype("f"), rng.integers(0, 10, rows)
    settings = tl.Options(backend="compiled", seed=0)
    specs = [images.shape, tl.Spec(labels.shape, "int64")]
    trainer = ScalarTrainer(settings, model.state(), specs, model.program("cross_entropy"), world=ranks, **options)
    opt = tl.optim.Adam(model.parameters(), lr=1e-4)
    return lambda: trainer.optim_step(opt, images, labels, check_finite=True).item()


class Waits:
    """How long a rank is inside the calls of its exchanges, within a block, and when buckets are begun."""

    def __enter__(self) -> Waits:
        self.total = self.start = 0.0
        #: Of each step, its seconds and those inside the calls.
        self.found: list[tuple[float, float]] = []
        #: By the bucket's number: its bytes, and the seconds of each step before it was begun.
        self.begun: dict[int, tuple[int, list[float]]] = {}
        self._before = Exchange.begin, Exchange.end

        def timed(function: Callable[..., None], begins: bool) -> Callable[..., None]:
            def run(exchange: Exchange, number: int, *buffer: Any) -> None:
                begun = time.perf_counter()
                if begins:
                    nbytes = exchange.sizes[number] * exchange.dtype.itemsize
                    self.begun.setdefault(number, (nbytes, []))[1].append(begun - self.start)
                function(exchange, number, *buffer)
                self.total += time.perf_counter() - begun

            return run

        Exchange.begin, Exchange.end = timed(Exchange.begin, True), timed(Exchange.end, False)  # type: ignore[method-assign]
        return self

    def steps(self, step: Callable[[], Any], times: int) -> None:
        """Take so many steps."""
        for _ in range(times):
            before, self.start = self.total, time.perf_counter()
            step()
            self.found.append((time.perf_counter() - self.start, self.total - before))

    def __exit__(self, *error: object) -> None:
        Exchange.begin, Exchange.end = self._before  # type: ignore[method-assign]


def measure() -> dict[str, Any]:
    """What this rank measures together with the others."""
    ranks = world()
    tl.set_num_threads(1)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[ranks.local_rank % len(cores)]})
    found: dict[str, Any] = {"all_reduce": [(size, all_reduce(ranks, size)) for size in SIZES], "steps": []}
    alone, begins = World(), []
    # Both ranks compute in both cases: the difference is the exchange.
    for rows in (32, 64):
        cases = [
            ("alone", alone, {}),
            ("sums", ranks, {}),
            ("in order", ranks, {"deterministic": True}),
            ("one bucket", ranks, {"bucket_bytes": 1 << 30}),
        ]
        steps = [(name, stepper(where, rows, **options)) for name, where, options in cases]
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name, _ in steps}
        for turn in range(6):
            for name, step in steps:
                ranks.barrier()
                with Waits() as waited:
                    waited.steps(step, 20)
                if turn:
                    taken[name] += waited.found
                    if name == "sums" and rows == 32:
                        begins.append({k: (n, tenth(t)) for k, (n, t) in waited.begun.items()})
        for name, pairs in taken.items():
            # What the fastest tenth of the steps waited.
            fast = sorted(pairs)[: len(pairs) // 10]
            wait = sum(w for _, w in fast) / sum(t for t, _ in fast)
            found["steps"].append({"rows": rows, "case": name, "seconds": tenth([t for t, _ in pairs]), "wait": wait})
    step = next(r["seconds"] for r in found["steps"] if (r["rows"], r["case"]) == (32, "alone"))
    # (bytes, part of a step before it is begun) of each bucket, in that order.
    parts = [(begins[0][k][0], min(min(b[k][1] for b in begins) / step, 1.0)) for k in begins[0]]
    return {**found, "buckets": sorted(parts, key=lambda p: p[1])}


def compute() -> list[tuple[int, float, float]]:
    """(rows, seconds, deviation) of a step without an exchange, on one core that has nothing else to do."""
    found = []
    for rows in ROWS:
        step = stepper(World(), rows)
        seconds(step, 10)
        spent = sorted(seconds(step, 100))[:90]
        found.append((rows, tenth(spent), statistics.stdev(spent)))
    return found


def job(role: str, ranks: int) -> Any:
    """What a job of so many ranks measures: of rank 0."""
    launcher = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    if launcher is None:
        raise SystemExit("distributed.py: mpi4py and an mpiexec are needed: pip install 'tlean[distributed]'")
    command = [launcher, "-n", str(ranks), sys.executable, __file__, "--role", role]
    env = os.environ | {"TLEAN_NUM_THREADS": "1"}
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout)


# The model ----------------------------------------------------------------------------------------------------------------------


def fitted(points: list[tuple[float, float]]) -> tuple[float, float]:
    """(time at 0, time for one more) of a line through measured points, each weighed by its own size."""
    x, y = np.array(points).T
    weights = 1 / y
    slope, offset = np.polyfit(x, y, 1, w=weights)
    return max(float(offset), 0.0), float(slope)


class Model:
    """Seconds of a step on many ranks.

    Args:
        latency: seconds of a message; bandwidth: bytes in a second of a rank's link.
        work: seconds that a rank's core spends on a byte of a sum: copying and adding.
        fixed, row: seconds of a step without rows, and of one more row.
        deviation: of a step's time, as a part of it.
        buckets: of each bucket, in the order in which they are begun, its bytes and the part of a step before that.
    """

    def __init__(
        self,
        latency: float,
        bandwidth: float,
        work: float,
        fixed: float,
        row: float,
        deviation: float,
        buckets: list[tuple[int, float]],
    ) -> None:
        self.latency, self.bandwidth = latency, bandwidth
        self.work = work * sum(n for n, _ in buckets)
        self.fixed, self.row, self.deviation, self.buckets = fixed, row, deviation, buckets

    def computed(self, rows: float, ranks: int) -> float:
        """The step of the slowest of the ranks: the mean, and the expected largest of so many normal deviations."""
        mean = self.fixed + self.row * rows
        return mean * (1 + self.deviation * math.sqrt(2 * math.log(ranks)))

    def reduced(self, nbytes: int, ranks: int) -> float:
        """An all-reduce: ⌈log2 ranks⌉ messages each way, and each byte sent and received by a rank almost twice."""
        return 2 * math.ceil(math.log2(ranks)) * self.latency + 2 * (ranks - 1) / ranks * nbytes / self.bandwidth

    def exposed(self, rows: float, ranks: int) -> float:
        """What of the sums is left when the last bucket is begun, and the backward pass has ended; a link does one after the other."""
        mean, done = self.fixed + self.row * rows, 0.0
        for nbytes, part in self.buckets:
            done = max(done, part * mean) + self.reduced(nbytes, ranks)
        return max(done - self.buckets[-1][1] * mean, 0.0)

    def step(self, rows: float, ranks: int) -> float:
        """The whole step."""
        return self.computed(rows, ranks) + (self.work + self.exposed(rows, ranks) if ranks > 1 else 0.0)


def estimates(model: Model, rows: int) -> list[str]:
    """The lines of the tables."""
    one = model.step(rows, 1)
    lines = [
        f"\nWeak scaling: {rows} rows for each rank.\n",
        "| ranks | step | work of sums | waiting | efficiency | |",
        "|---:|---:|---:|---:|---:|---|",
    ]
    for ranks in (1, 64, 1024):
        step = model.step(rows, ranks)
        work, left = (model.work, model.exposed(rows, ranks)) if ranks > 1 else (0.0, 0.0)
        lines.append(f"| {ranks:,} | {step * 1e3:.2f} ms | {work * 1e3:.2f} ms | {left * 1e3:.2f} ms | {one / step:.0%} | estimate |")
    batch = 1024
    whole = model.step(batch, 1)
    lines += [
        f"\nStrong scaling: {batch:,} rows for all ranks together.\n",
        "| ranks | rows of a rank | step | times as fast | |",
        "|---:|---:|---:|---:|---|",
    ]
    for ranks in (1, 64, 1024):
        step = model.step(batch / ranks, ranks)
        lines.append(f"| {ranks:,} | {batch // ranks:,} | {step * 1e3:.2f} ms | {whole / step:.0f} | estimate |")
    return lines


def report(args: argparse.Namespace) -> str:
    """All tables."""
    two, one, base = job("ranks", 2), job("compute", 1), 0.0
    lines = [
        "Measured on two ranks of one machine with two cores, one thread each; times are those that a tenth of the calls stayed below:\n",
        "| bytes | all-reduce |",
        "|---:|---:|",
    ]
    lines += [f"| {size:,} | {t * 1e6:.1f} µs |" for size, t in two["all_reduce"]]
    latency, slope = fitted([(size, t) for size, t in two["all_reduce"]])
    lines.append(f"\nA line through these: {latency * 1e6:.1f} µs and {1 / slope / 1e9:.2f} GB/s.\n")
    lines += ["| rows of a rank | step | time | more than without | inside the exchange |", "|---:|---|---:|---:|---:|"]
    titles = {
        "alone": "no exchange",
        "sums": "sums as MPI makes them",
        "in order": "`deterministic`",
        "one bucket": "one bucket, begun at the end",
    }
    for row in two["steps"]:
        t = row["seconds"]
        base = t if row["case"] == "alone" else base
        lines.append(f"| {row['rows']} | {titles[row['case']]} | {t * 1e3:.2f} ms | {1 - base / t:.0%} of it | {row['wait']:.0%} |")
    lines += ["\nA step of one rank without an exchange, by its rows:\n", "| rows | time | deviation |", "|---:|---:|---:|"]
    lines += [f"| {rows} | {t * 1e3:.3f} ms | {d / t:.1%} |" for rows, t, d in one]
    fixed, per = fitted([(rows, t) for rows, t, _ in one])
    deviation = statistics.median(d / t for _, t, d in one)
    lines.append(f"\nA line through these: {fixed * 1e3:.3f} ms and {per * 1e6:.1f} µs a row; the median deviation is {deviation:.1%}.\n")
    lines.append(
        f"Estimated for a network of {args.latency:g} µs a message and {args.bandwidth:g} GB/s for each rank, with compute, its deviation,"
        " the work of sums and the buckets as measured here:"
    )
    buckets = [(int(n), float(part)) for n, part in two["buckets"]]
    begun = [f"a bucket of {n:,} bytes begins after {part:.0%} of a step" for n, part in buckets]
    lines.append(f"\n{'; '.join(begun)}.".replace("\na", "\nA", 1))
    here = Model(latency, math.inf, slope, fixed, per, deviation, buckets)
    measured = next(row["seconds"] for row in two["steps"] if (row["rows"], row["case"]) == (32, "sums"))
    lines.append(
        f"\nThe same model for this machine, where messages are the work of its cores: {here.step(32, 2) * 1e3:.2f} ms for 32 rows on each"
        f" of two ranks (estimate); measured: {measured * 1e3:.2f} ms."
    )
    lines += estimates(Model(args.latency * 1e-6, args.bandwidth * 1e9, slope, fixed, per, deviation, buckets), 32)
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--role", choices=("report", "ranks", "compute"), default="report", help=argparse.SUPPRESS)
    p.add_argument("--latency", type=float, default=2.0, help="of the network, in microseconds (default: %(default)s)")
    p.add_argument("--bandwidth", type=float, default=12.5, help="of a rank's link, in GB/s (default: %(default)s)")
    p.add_argument("--markdown", type=Path, help="a page with the markers between which the tables are written")
    args = p.parse_args()
    if args.role != "report":
        found = measure() if args.role == "ranks" else compute()
        if world().root:
            print(json.dumps(found))
        return
    text = report(args)
    print(text)
    if args.markdown is not None:
        page = args.markdown.read_text(encoding="utf-8")
        before, _, rest = page.partition(MARKERS[0])
        _, _, after = rest.partition(MARKERS[1])
        args.markdown.write_text(f"{before}{MARKERS[0]}\n{text}{MARKERS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
