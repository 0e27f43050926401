"""`tlean bench`: how fast this installation is on this machine: products, convolutions, attention, memory, training steps.

A figure is the least of several samples, so that whatever else the machine does counts least. Nothing but tlean is needed; to compare with
PyTorch, use `benchmarks/harness.py` in the repository.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tlean as tl
from tlean._core.table import ISA
from tlean.arguments.literals import Backend
from tlean.files import writable

from . import positive
from .info import processor

SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Job:
    """One thing to time. `amount` counts what a call does, in `unit`s (FLOP, bytes or samples)."""

    name: str
    amount: float
    unit: str
    build: Callable[[], Callable[[], Any]]


def _values(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(s, dtype=np.float32) * 0.1 for s in shapes]


def _op(name: str, amount: float, unit: str, shapes: list[tuple[int, ...]], program: Callable[..., Any], gradient: bool = False) -> Job:
    def build() -> Callable[[], Any]:
        arrays = [tl.AnyTensor(v) for v in _values(*shapes)]
        if gradient:
            f = tl.compile_scalar(lambda ops, *xs: ops.sum(program(ops, *xs)), shapes)
            return lambda: f.value_and_grad(*arrays)
        s: Any = tl.Session()
        with tl.no_grad():
            refs = [s.const(a) for a in arrays]

        def call() -> None:
            with tl.no_grad():
                program(s, *refs)

        return call

    return Job(name, amount, unit, build)


def _network(o: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, x: Any, y: Any) -> Any:
    h = o.max_pool2d(o.relu(o.conv2d(w1, b1, x, padding=1)), 2)
    h = o.max_pool2d(o.relu(o.conv2d(w2, b2, h, padding=1)), 2)
    return o.cross_entropy(o.linear(w3, b3, o.reshape(h, (x.shape[0], -1))), y)


def _perceptron(o: Any, w1: Any, b1: Any, w2: Any, b2: Any, x: Any, y: Any) -> Any:
    return o.cross_entropy(o.linear(w2, b2, o.relu(o.linear(w1, b1, o.reshape(x, (x.shape[0], -1))))), y)


def _training(name: str, loss: Callable[..., Any], shapes: list[tuple[int, ...]], backend: Backend, batch: int = 64) -> Job:
    def build() -> Callable[[], Any]:
        x = _values((batch, 1, 28, 28))[0]
        y = np.arange(batch) % 10
        trainer = tl.ScalarTrainer(tl.Options(backend=backend), _values(*shapes), [x.shape, tl.Spec(y.shape, "int64")], loss)
        opt = tl.optim.Adam(trainer.params)
        return lambda: trainer.optim_step(opt, x, y).item()

    return Job(f"{name}, a step, {backend}", batch, "samples", build)


def _adam(count: int) -> Job:
    def build() -> Callable[[], Any]:
        value, g = _values((count,), (count,))
        p, grad = tl.Param(value), tl.AnyTensor(g)
        opt = tl.optim.Adam([p])
        return lambda: opt.step([grad])

    # Reads the parameter, its gradient and two moments; writes all but the gradient.
    return Job(f"Adam, {count // 10**6} million parameters", 7 * 4 * count, "B", build)


def jobs() -> Iterator[Job]:
    """What is measured."""
    for n in (64, 512, 1024):
        yield _op(f"matmul {n} x {n}", 2 * n**3, "FLOP", [(n, n), (n, n)], lambda o, a, b: o.matmul(a, b))
    flop = 2 * 8 * 64 * 64 * 9 * 56 * 56
    conv = [(64, 64, 3, 3), (64,), (8, 64, 56, 56)]
    yield _op("conv2d 3 x 3, 64 to 64, 8 x 56 x 56", flop, "FLOP", conv, lambda o, w, b, x: o.conv2d(w, b, x, padding=1))
    yield _op("the same with gradients", 3 * flop, "FLOP", conv, lambda o, w, b, x: o.conv2d(w, b, x, padding=1), True)
    yield _op(
        "attention, 8 heads, 512 x 64",
        4 * 8 * 512 * 512 * 64,
        "FLOP",
        [(8, 512, 64)] * 3,
        lambda ops, *x: ops.scaled_dot_product_attention(*x),
    )
    n = 10**7
    yield _op("add, 10 million", 12 * n, "B", [(n,), (n,)], lambda o, a, b: o.add(a, b))
    yield _op("exp, 10 million", 8 * n, "B", [(n,)], lambda o, x: o.exp(x))
    yield _op("sum, 10 million", 4 * n, "B", [(n,)], lambda o, x: o.sum(x))
    yield _op("layer_norm 512 x 768", 8 * 512 * 768, "B", [(512, 768)], lambda o, x: o.layer_norm(x))
    yield _adam(n)
    perceptron = [(256, 784), (256,), (10, 256), (10,)]
    network = [(16, 1, 3, 3), (16,), (32, 16, 3, 3), (32,), (10, 1568), (10,)]
    for backend in ("eager", "compiled"):
        yield _training("perceptron 784-256-10", _perceptron, perceptron, backend)
        yield _training("convolutional network", _network, network, backend)


def least_time(call: Callable[[], Any], seconds: float) -> float:
    """The least mean time of a call over samples of about 50 ms each, for about so many seconds in all."""
    call()
    clock, calls, best = time.perf_counter, 1, float("inf")
    ends = clock() + seconds
    while True:
        begun = clock()
        for _ in range(calls):
            call()
        now = clock()
        each = (now - begun) / calls
        best = min(best, each)
        if now > ends:
            return best
        calls = max(1, round(SAMPLE_SECONDS / max(each, 1e-9)))


def _rate(amount: float, unit: str, seconds: float) -> str:
    rate = amount / seconds
    return f"{rate:,.0f} {unit}/s" if unit == "samples" else f"{rate / 1e9:,.1f} G{unit}/s"


def _time(seconds: float) -> str:
    unit, factor = next((u, f) for u, f in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)) if seconds >= f or u == "ns")
    return f"{seconds / factor:.3g} {unit}"


def main(argv: list[str]) -> None:
    """Measure and print the table."""
    p = argparse.ArgumentParser(prog="tlean bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--seconds", type=positive(float), default=100.0, help="to measure for in all, set-up not counted (default: %(default)s)"
    )
    p.add_argument("--threads", type=positive(int), help="threads of the kernels (default: as many as there are cores)")
    p.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    args = p.parse_args(argv)
    if args.json:
        # Found now, not when all is measured.
        writable("--json", args.json)
    if args.threads:
        tl.set_num_threads(args.threads)
    listed = list(jobs())
    about = f"tlean {tl.__version__}, {processor()}, kernels for {ISA}, {tl.get_num_threads()} threads, float32"
    print(about)
    width = max(len(job.name) for job in listed)
    figures = []
    for job in listed:
        seconds = least_time(job.build(), args.seconds / len(listed))
        figures.append({"name": job.name, "seconds": seconds, "per_second": job.amount / seconds, "unit": job.unit})
        print(f"{job.name:{width}}  {_time(seconds):>9}  {_rate(job.amount, job.unit, seconds):>20}", flush=True)
    if args.json:
        args.json.write_text(json.dumps({"about": about, "figures": figures}, indent=1), encoding="utf-8")
