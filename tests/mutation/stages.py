"""The tests that mutants are run against, in order: what kills most per second comes first."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stage:
    """One command.

    Attributes:
        files: tests for pytest, which stops at the first failure; none runs `programs` programs of the fuzzer.
        left_out: programs that fail without a mutant.
        seconds: of processor time that it takes on a machine of today; one that takes three times that hangs.
    """

    name: str
    seconds: float
    files: tuple[str, ...] = ()
    programs: int = 0
    left_out: tuple[int, ...] = ()


def stages(programs: int) -> list[Stage]:
    """The stages, with so many programs of the fuzzer."""
    return [
        Stage("quick tests", 25.0, QUICK),
        Stage("short fuzz", 0.1 * programs, programs=programs),
        Stage("other tests", 60.0, OTHER),
    ]


QUICK = (
    "compiler/test_lowering.py",
    "compiler/test_groups.py",
    "compiler/test_tails.py",
    "compiler/test_plan_check.py",
    "compiler/test_fusion.py",
    "compiler/test_plan_memory.py",
    "compiler/test_unread_outputs.py",
    "compiler/test_epilogue.py",
    "compiler/test_blocked.py",
    "compiler/test_row_updates_pass.py",
    "train/test_row_updates.py",
    "programs/test_compiled.py",
    "programs/test_autodiff.py",
)
OTHER = (
    "compiler/test_fusion_random.py",
    "ops/test_rules.py",
    "ops/test_wide_ops.py",
    "train/test_compiled_training.py",
    "session/test_session_compiled.py",
    "compiler/test_by_definition.py",
    "core/test_attention_memory.py",
    "core/test_thread_bits.py",
    "ops/test_geometry.py",
    "ops/test_custom.py",
    "ops/test_broadcasting.py",
    "ops/test_dtypes.py",
    "nn/test_nn.py",
    "train/test_fit.py",
)

#: Address space that a mutant may take beyond this process's own, in bytes (a sanitizer reserves terabytes).
_MEMORY = 8 << 30


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant in a stage: "passed", "failed", "died" (by a signal) or "hangs", and what was said last."""

    state: str
    text: str
    seconds: float


def run_stage(stage: Stage, folder: Path) -> Outcome:
    """Run a stage's command in a copy of the repository."""
    if stage.files:
        files = [f"tests/{f}" for f in stage.files]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", *files]
    else:
        command = [sys.executable, "-m", "tests.mutation.fuzz", str(stage.programs), *map(str, stage.left_out)]
    return _run(command, folder, 3.0 * stage.seconds)


def failing_programs(stage: Stage, folder: Path) -> tuple[int, ...]:
    """The programs of a stage that fail as the repository is."""
    command = [sys.executable, "-m", "tests.mutation.fuzz", "all", str(stage.programs)]
    said = subprocess.run(command, cwd=folder, env=_environment(folder), capture_output=True, text=True).stdout
    return tuple(int(k) for k in re.findall(r"^program (\d+) of seed", said, re.MULTILINE))


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(folder), "TLEAN_CHECK_PLANS": "1", "MALLOC_PERTURB_": "165"}


def _run(command: Sequence[str], folder: Path, limit: float) -> Outcome:
    statm = Path("/proc/self/statm")
    memory = _MEMORY + (int(statm.read_text().split()[0]) * resource.getpagesize() if statm.exists() else 0)

    def limits() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit) + 5))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    start = time.monotonic()
    child = subprocess.Popen(
        command,
        cwd=folder,
        env=_environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        preexec_fn=limits,
    )
    try:
        # A lock that is never released takes no processor time; a machine that others use too takes longer.
        said, _ = child.communicate(timeout=6.0 * limit)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        return Outcome("hangs", "", time.monotonic() - start)
    seconds = time.monotonic() - start
    text = _last(said)
    if child.returncode == 0:
        return Outcome("passed", text, seconds)
    if child.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return Outcome("hangs", text, seconds)
    return Outcome("died" if child.returncode < 0 else "failed", text, seconds)


def _last(said: str) -> str:
    # The line that says what failed.
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    named = [line for line in lines if line.startswith(("FAILED", "ERROR", "program"))]
    return (named or lines or [""])[-1][:300]
