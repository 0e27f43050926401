"""The sides of the compiled path: processes bound to some cores that hold one library each, JAX's in a separate Python."""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from rows.compiled import all_rows
from rows.libraries import BUILDERS
from worker import calls_for, digest, seconds_per_call

from measuring.sides import FOLDER, KEPT

PACKAGES = {"tlean": "tlean", "torch": "torch", "inductor": "torch", "jax": "jax", "numpy": "scipy"}
SAMPLE_SECONDS = 0.02
#: What `make bench` installs JAX into: it needs a later Python than tlean. The file says that it is all there.
JAX_PYTHON, JAX_INSTALLED = (FOLDER.parent / ".venv-jax" / name for name in ("bin/python", ".installed"))


def python_of(name: str) -> str | None:
    """The Python that has a side's library, None where there is none."""
    if name == "jax" and JAX_INSTALLED.exists():
        return str(JAX_PYTHON)
    return sys.executable if importlib.util.find_spec(PACKAGES[name]) else None


def cores(threads: int) -> list[int]:
    """The last of the cores that this process may use, as many as threads (all where the system does not bind processes)."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    return allowed[-threads:]


class Side:
    """A process that holds one library."""

    def __init__(self, name: str, threads: int) -> None:
        python = python_of(name)
        assert python is not None
        limits = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads), "TLEAN_NUM_THREADS": str(threads)}
        limits |= KEPT | {"JAX_PLATFORMS": "cpu"}
        if threads == 1:
            limits["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        chosen = ",".join(map(str, cores(threads)))
        command = [python, str(FOLDER / "compiled.py"), "--worker", name, "--threads", str(threads), "--cores", chosen]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | limits)

    def ask(self, **request: Any) -> Any:
        """One request and its answer. Raises: RuntimeError with the worker's words where it failed."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the process ended")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@dataclass
class Beside:
    """The base of a row: another program in the process of a side."""

    side: Side

    def ask(self, **request: Any) -> Any:
        """As the side."""
        return self.side.ask(**request, base=True)


def work(name: str, threads: int, chosen: list[int]) -> None:
    """The worker's loop: build a row, calibrate, time."""
    if hasattr(os, "sched_setaffinity"):
        # Before the library is loaded: JAX makes a thread for each core that it sees.
        os.sched_setaffinity(0, chosen)
    answers, sys.stdout = sys.stdout, sys.stderr
    if name in ("torch", "inductor"):
        import torch

        torch.set_num_threads(threads)
    worker = _Worker(name)
    gc.disable()
    for line in sys.stdin:
        try:
            text = {"value": worker.answer(json.loads(line))}
        except Exception as error:
            text = {"error": f"{type(error).__name__}: {str(error).splitlines()[0][:160] if str(error) else ''}"}
        print(json.dumps(text), file=answers, flush=True)


class _Worker:
    """What a side's process does with a request."""

    def __init__(self, name: str) -> None:
        self.name, self.rows = name, {row.name: row for row in all_rows()}
        self.timed: dict[str, Callable[[], Any]] = {}
        self.rate = False

    def answer(self, request: dict[str, Any]) -> Any:
        """The value that was asked for."""
        which = "base" if request.get("base") else self.name
        if "build" in request:
            if which == self.name:
                self.timed.clear()
                gc.collect()
            row = self.rows[request["build"]]
            timed, self.rate = BUILDERS[which](row), row.kind == "rate"
            self.timed[which] = timed
            result = timed()
            return digest(list(result) if isinstance(result, tuple | list) else result)
        if "first" in request:
            self.timed.clear()
            gc.collect()
            timed = BUILDERS[which](self.rows[request["first"]])
            begun = time.perf_counter()
            timed()
            return time.perf_counter() - begun
        if "version" in request:
            return version(PACKAGES[self.name])
        if "extra" in request:
            return {"compile": compile_seconds, "memory": peak_bytes, "call": self.call_bytes}[request["extra"]](*request["arguments"])
        if self.rate:
            return 1 if "calibrate" in request else self.timed[which]()
        if "calibrate" in request:
            return calls_for(self.timed[which], SAMPLE_SECONDS)
        return seconds_per_call(self.timed[which], request["time"])

    def call_bytes(self) -> int:
        """Bytes that a call of the row that is built needs on top of what is there between calls, its results aside."""
        from tlean._core.arena import memory_stats, reset_peak

        timed = self.timed[self.name]
        timed()
        reset_peak()
        before = memory_stats()["live"]
        result = timed()
        kept = memory_stats()["live"] - before
        assert result is not None
        return memory_stats()["peak"] - before - kept


# tlean alone -------------------------------------------------------------------------------------------------------------------------


def compile_seconds(nodes: int, gradient: bool) -> list[float]:
    """Processor time to trace and plan a program of so many nodes, a few times; that of its gradient too where that is asked for."""
    import tlean as tl

    weights, start = np.full((8, 8), 0.1, np.float32), np.ones(8, np.float32)

    def program(ops: Any, w: Any, x: Any) -> Any:
        h = x
        for k in range(nodes - 1):
            apply = (ops.tanh, lambda h: ops.linear(w, None, h), lambda h: ops.mul(h, x), lambda h: ops.scale(h, 0.5))[k % 4]
            h = apply(h)
        return ops.sum(h)

    seconds = []
    for _ in range(3):
        begun = time.process_time()
        if gradient:
            # A function that no call has seen: nothing of it is known.
            tl.value_and_grad(lambda ops, w, x: program(ops, w, x), argnums=(0, 1))(weights, start)
        else:
            assert len(tl.compile_scalar(program, [(8, 8), (8,)]).plan) > 0
        seconds.append(time.process_time() - begun)
    return seconds


def peak_bytes(row: str, backend: str) -> int:
    """Bytes that a step needs on top of what is there between steps."""
    import tlean as tl
    from tlean._core.arena import memory_stats, reset_peak

    chosen = next(r for r in all_rows() if r.name == row)
    arrays = chosen.drawn()
    inputs = arrays[chosen.params :]
    specs = [tl.Spec(a.shape, "int64") if a.dtype.kind == "i" else a.shape for a in inputs]
    trainer = tl.ScalarTrainer(tl.Options(backend=backend), arrays[: chosen.params], specs, chosen.ours)
    trainer.step(0.0, *inputs)
    reset_peak()
    before = memory_stats()["live"]
    trainer.step(0.0, *inputs)
    return memory_stats()["peak"] - before
