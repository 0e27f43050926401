"""Many nests: tlean in processes whose end is a finding and not that of the job, and JAX or PyTorch beside it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import tlean as tl

from .draw import TRANSFORMS, Case, Nest, case
from .sides import difference, noise, ours, torchs

TOLERANCE = 1e-9
#: A nest that takes longer hangs.
SECONDS = 120.0
ROOT = Path(__file__).parents[2]
JAX_PYTHON, JAX_INSTALLED = (ROOT / ".venv-jax" / name for name in ("bin/python", ".installed"))


@dataclass
class Report:
    """What a job gave: findings by nest, and how often each part came up."""

    findings: list[str] = field(default_factory=list)
    count: Counter[str] = field(default_factory=Counter)
    worst: float = 0.0
    seconds: float = 0.0


def transforms() -> tuple[str, ...]:
    """The transformations that nests are drawn from."""
    return tuple(what for what in TRANSFORMS if what != "checkpoint" or hasattr(tl, what))


class JaxError(Exception):
    """JAX did not compute a nest."""


class Jax:
    """JAX's process."""

    def __init__(self) -> None:
        command = [str(JAX_PYTHON), str(Path(__file__).with_name("jax_side.py"))]
        told = {"JAX_PLATFORMS": "cpu"}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | told)

    def begin(self, drawn: Case) -> None:
        """Compute a nest, while tlean does."""
        assert self.process.stdin is not None
        request = {"index": drawn.index, "transforms": transforms(), "noise": noise(drawn.seed).tolist()}
        print(json.dumps(request), file=self.process.stdin, flush=True)

    def end(self, drawn: Case) -> list[np.ndarray]:
        """The results of the nest that was begun. Raises: JaxError."""
        assert self.process.stdout is not None
        values = json.loads(self.process.stdout.readline())
        if isinstance(values, str):
            raise JaxError(values)
        return [np.array(v) for v in values]


class Torch:
    """PyTorch, in this process."""

    def begin(self, drawn: Case) -> None:
        """Nothing yet."""

    def end(self, drawn: Case) -> list[np.ndarray]:
        """The results of a nest."""
        return torchs(drawn)


def oracle(name: str) -> Jax | Torch:
    """The library by name; "" is JAX where it is installed, else PyTorch."""
    if name == "jax" or (not name and JAX_INSTALLED.exists()):
        if not JAX_INSTALLED.exists():
            raise SystemExit("JAX is not installed in .venv-jax: `make nests` installs it")
        return Jax()
    return Torch()


def parts(nest: Nest | None) -> Iterator[str]:
    """The transformations of a nest, the outermost first."""
    while nest is not None:
        yield nest.what
        nest = nest.inside


def judged(drawn: Case, found: list[np.ndarray] | str, expected: list[np.ndarray], report: Report) -> None:
    """Hold a nest's results against those of the oracle."""
    report.count.update(parts(drawn.nest))
    report.count[f"with {drawn.extra}" if drawn.extra else "with nothing else"] += 1
    if isinstance(found, str):
        report.findings.append(f"{drawn.words()}: {found}")
        return
    error = difference(found, expected)
    if not error <= TOLERANCE:
        report.findings.append(f"{drawn.words()}: an error of {error:.2g}")
    else:
        report.worst = max(report.worst, error)


# tlean's process -------------------------------------------------------------------------------------------------------------------------


def serve() -> None:
    """Answer numbers of nests with their results."""
    for line in sys.stdin:
        try:
            answer: Any = [a.tolist() for a in ours(case(int(line), transforms()))]
        except Exception as error:
            answer = f"{type(error).__name__}: {str(error)[:300]}"
        print(json.dumps(answer), flush=True)


class Ours:
    """tlean's process, started again where it ended."""

    def __init__(self) -> None:
        self.process = self._started()

    @staticmethod
    def _started() -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.nests", "--serve"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    def __call__(self, index: int) -> list[np.ndarray] | str:
        """The results of a nest, or what became of it."""
        process = self.process
        assert process.stdin is not None and process.stdout is not None
        print(index, file=process.stdin, flush=True)
        ready = select.select([process.stdout], [], [], SECONDS)[0]
        line = process.stdout.readline() if ready else ""
        if not line:
            process.kill()
            text = f"the process ended with {process.wait()}" if ready else f"no answer in {SECONDS:.0f} s"
            self.process = self._started()
            return text
        answer = json.loads(line)
        return answer if isinstance(answer, str) else [np.array(a) for a in answer]


def run(first: int, nests: int, library: str, told: Callable[[str], None] = print) -> Report:
    """Nests of so many numbers, from the first on."""
    report, compute, expected, begun = Report(), Ours(), oracle(library), time.perf_counter()
    for index in range(first, first + nests):
        before = len(report.findings)
        drawn = case(index, transforms())
        expected.begin(drawn)
        found = compute(index)
        try:
            judged(drawn, found, expected.end(drawn), report)
        except JaxError as error:
            report.findings.append(f"{drawn.words()}: JAX: {str(error)[:300]}")
        for text in report.findings[before:]:
            told(text)
        if (index - first + 1) % 100 == 0:
            told(f"{index - first + 1} nests, {len(report.findings)} findings, {time.perf_counter() - begun:.0f} s")
    report.seconds = time.perf_counter() - begun
    return report
