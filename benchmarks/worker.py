"""One side of a comparison: a process that holds one library, builds rows and times them when it is told to.

It reads requests, one JSON object a line, and answers each with one line. Two libraries in one process would share the allocator and
fight over cores with two thread pools; in two processes that take turns, neither disturbs the other.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from measuring.own_rate import own_rate
from rows import all_rows
from rows.base import BOTH, FORWARD, RECORDED, Row, StepRow

Timed = Callable[[], Any]
SAMPLED = 64
FEW_CALLS, LONGEST_SAMPLE = 3, 0.06


class Ours:
    """tlean, eager."""

    def __init__(self) -> None:
        import tlean as tl

        self.tl = tl
        self.set_threads = tl.set_num_threads

    def build(self, row: Row | StepRow) -> dict[str, Timed]:
        """The functions to time, by mode."""
        if isinstance(row, StepRow):
            return {row.modes[0]: row.ours()}
        tl, s = self.tl, self.tl.Session(self.tl.Options())
        arrays = row.arrays(np.random.default_rng(0))
        with tl.no_grad():
            constants = [tl.AnyTensor(a) if a.dtype.kind == "i" else s.const(a) for a in arrays]

        def forward() -> Any:
            with tl.no_grad():
                return row.ours(s, *constants).value

        params = [None if a.dtype.kind == "i" or i in row.frozen else s.param(a) for i, a in enumerate(arrays)]
        with tl.no_grad():
            upstream = s.const(_upstream(np.asarray(row.ours(s, *constants).value).shape)).value
        trainable = [p for p in params if p is not None]

        def taped() -> tuple[Any, list[Any]]:
            s.reset_tape()
            refs = [c if p is None else s.use(p) for p, c in zip(params, constants, strict=True)]
            return row.ours(s, *refs), refs

        def both() -> Any:
            y, refs = taped()
            grads = s.backward_dense_all(y, upstream)
            return [grads[r.id] for r, p in zip(refs, params, strict=True) if p is not None]

        found = {FORWARD: forward, RECORDED: lambda: taped()[0].value, BOTH: both}
        return {m: found[m] for m in row.modes if m == FORWARD or trainable}


class Numpys:
    """NumPy, where a row says how; it has no gradients."""

    def __init__(self) -> None:
        from threadpoolctl import threadpool_limits

        self.set_threads = threadpool_limits

    def build(self, row: Row | StepRow) -> dict[str, Timed]:
        """The functions to time, by mode."""
        if isinstance(row, StepRow) or row.numpys is None:
            return {}
        arrays, function = row.arrays(np.random.default_rng(0)), row.numpys
        return {FORWARD: lambda: function(*arrays)}


class Theirs:
    """PyTorch, eager."""

    def __init__(self) -> None:
        import torch

        self.torch = torch
        self.set_threads = torch.set_num_threads

    def build(self, row: Row | StepRow) -> dict[str, Timed]:
        """The functions to time, by mode."""
        if isinstance(row, StepRow):
            return {row.modes[0]: row.theirs()}
        torch = self.torch
        tensors = [torch.from_numpy(a) for a in row.arrays(np.random.default_rng(0))]
        leaves = [x for i, x in enumerate(tensors) if x.is_floating_point() and i not in row.frozen]

        def forward() -> Any:
            with torch.no_grad():
                return row.theirs(torch, *tensors)

        upstream = torch.from_numpy(_upstream(tuple(forward().shape)))
        if row.modes != (FORWARD,):
            for x in leaves:
                x.requires_grad_()

        def both() -> Any:
            for x in leaves:
                x.grad = None
            row.theirs(torch, *tensors).backward(upstream)
            return [x.grad for x in leaves]

        found = {FORWARD: forward, RECORDED: lambda: row.theirs(torch, *tensors), BOTH: both}
        return {m: found[m] for m in row.modes if m == FORWARD or leaves}


def _upstream(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def digest(result: Any) -> list[float]:
    """Numbers that tell whether two sides computed the same: some elements of every array."""
    arrays = result if isinstance(result, list) else [result]
    out: list[float] = []
    for a in arrays:
        # A PyTorch view of a leaf has to be detached before NumPy may see it.
        flat = np.asarray(a.detach() if hasattr(a, "detach") else a).reshape(-1)
        if flat.dtype.kind == "c":
            flat = np.stack([flat.real, flat.imag], axis=1).reshape(-1)
        out += flat[:: max(1, flat.size // SAMPLED)][:SAMPLED].astype(np.float64).tolist()
    return out


def seconds_per_call(f: Timed, calls: int) -> float:
    """The mean time of a call over so many calls in a row."""
    clock = time.perf_counter
    begun = clock()
    for _ in range(calls):
        f()
    return (clock() - begun) / calls


def calls_for(f: Timed, seconds: float) -> int:
    """How many calls take about that long; warms up on the way."""
    f()
    calls = 1
    while True:
        each = seconds_per_call(f, calls)
        if each * calls > seconds / 3 or calls >= 1 << 20:
            # Long calls several times too: the first finds in the caches what another side left there.
            return max(1, round(seconds / each), min(FEW_CALLS, int(LONGEST_SAMPLE / each)))
        calls *= 3


def main() -> None:
    side = {"tlean": Ours, "torch": Theirs, "numpy": Numpys}[sys.argv[1]]()
    rows = {row.name: row for row in all_rows()}
    built: dict[str, Timed] = {}
    gc.disable()
    answers = sys.stdout
    # What a library prints must not be taken for an answer.
    sys.stdout = sys.stderr
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any]
        try:
            if "build" in request:
                built.clear()
                gc.collect()
                row = rows[request["build"]]
                built.update(side.build(row))
                answer = {"digests": {mode: digest(f()) for mode, f in built.items()} if row.same else dict.fromkeys(built)}
            elif "threads" in request:
                side.set_threads(request["threads"])
                answer = {}
            elif "calibrate" in request:
                answer = {"calls": calls_for(built[request["calibrate"]], request["seconds"])}
            elif "own" in request:
                answer = own_rate(side.build, seconds_per_call, calls_for, rows[request["own"]])
            else:
                answer = {"seconds": seconds_per_call(built[request["time"]], request["calls"])}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
