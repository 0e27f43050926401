"""`tlean check`: this installation against the definitions: every op's values, derivatives and errors, eager and compiled."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import tlean as tl
from tlean import rng
from tlean._core.table import ISA
from tlean.arguments.literals import Backend
from tlean.ops import all_ops
from tlean.testing import check_op


def _same(found: Any, expected: np.ndarray) -> None:
    found = np.asarray(found)
    if found.dtype != expected.dtype or found.tobytes() != expected.tobytes():
        raise AssertionError(
            f"the bits are not those of the definition: {found.reshape(-1)[:4]} ..., expected {expected.reshape(-1)[:4]} ..."
        )


def check_uniform() -> None:
    """Random numbers are those of the counters that NumPy computes."""
    for seed, shape in ((0, (7,)), (2**63 + 5, (33, 5))):
        _same(tl.rand_uniform(shape, seed), rng.uniform(shape, seed))
        _same(tl.Session(dtype="float64").rand_uniform(shape, seed).value, rng.uniform(shape, seed, "float64"))  # type: ignore[attr-defined]


def check_training() -> None:
    """Five steps of training have the same bits on the eager and the compiled backend, on one thread and on all."""

    def loss(o: Any, w: Any, b: Any, v: Any, x: Any, y: Any) -> Any:
        h = o.dropout(o.relu(o.conv2d(w, b, x, padding=1)), 0.2)
        return o.cross_entropy(o.linear(v, None, o.reshape(h, (x.shape[0], -1))), y)

    draw = tl.Rng(0)
    values = [draw.uniform((8, 3, 3, 3), -0.3, 0.3), np.zeros(8), draw.uniform((10, 8 * 144), -0.1, 0.1)]
    x, y = draw.uniform((6, 3, 12, 12)), np.arange(6)
    results = []
    before = tl.get_num_threads()
    try:
        ways: list[tuple[Backend, int]] = [("eager", 1), ("eager", before), ("compiled", 1), ("compiled", before)]
        for backend, threads in ways:
            tl.set_num_threads(threads)
            trainer = tl.ScalarTrainer(tl.Options(backend=backend, seed=0), values, [x.shape, tl.Spec((6,), "int64")], loss)
            opt = tl.optim.AdamW(trainer.params, lr=0.01)
            for _ in range(5):
                trainer.optim_step(opt, x, y, clip_norm=1.0)
            results.append([p.numpy().tobytes() for p in trainer.get_params()])
    finally:
        tl.set_num_threads(before)
    if any(r != results[0] for r in results):
        raise AssertionError("the parameters differ")


def checks() -> dict[str, tuple[Callable[[], None], int]]:
    """What is checked, by name: a function that raises where something is wrong, and its number of samples."""
    found: dict[str, tuple[Callable[[], None], int]] = {}
    for record in all_ops(internal=False):
        if record.samples:
            found[record.name] = (partial(check_op, record), len(record.samples()))
    return found | {"random numbers": (check_uniform, 4), "training": (check_training, 4)}


def main(argv: list[str]) -> None:
    """Check, print a line for each thing that is wrong, and a summary. Exits with 1 if anything is."""
    p = argparse.ArgumentParser(prog="tlean check", description=__doc__)
    p.add_argument("--only", default="", metavar="REGEX", help="only what has such a name")
    p.add_argument("--verbose", action="store_true", help="a line for everything, with its time")
    args = p.parse_args(argv)
    try:
        re.compile(args.only)
    except re.error as error:
        p.error(f"argument --only: {args.only!r} is no regular expression: {error}")
    wanted = {name: what for name, what in checks().items() if re.search(args.only, name)}
    if not wanted:
        raise SystemExit(f"{p.prog}: nothing to check has a name that matches {args.only!r}")
    begun, wrong = time.perf_counter(), 0
    for name, (check, _) in wanted.items():
        since, words = time.perf_counter(), "right"
        try:
            check()
        except Exception as error:
            wrong += 1
            words = f"WRONG: {error or type(error).__name__}"
        if args.verbose or words != "right":
            print(f"{name:32} {time.perf_counter() - since:6.2f} s  {words}", flush=True)
    samples, spent = sum(n for _, n in wanted.values()), time.perf_counter() - begun
    print(f"{len(wanted) - wrong} of {len(wanted)} right ({samples} samples, kernels for {ISA}, {spent:.0f} s)")
    if wrong:
        sys.exit(1)
