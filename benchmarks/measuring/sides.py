"""The processes that are compared, and how much they and other programs disturb one another."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1]
# glibc gives large freed blocks back to the system, and touching fresh ones costs more than many a kernel; the third side keeps them.
KEPT = {"MALLOC_TRIM_THRESHOLD_": str(16 << 30), "MALLOC_MMAP_THRESHOLD_": str(4 << 30), "MALLOC_TOP_PAD_": str(64 << 20)}
#: The sides: a library, and what its process is told.
SIDES: dict[str, tuple[str, dict[str, str]]] = {
    "tlean": ("tlean", {}),
    "torch": ("torch", {}),
    "kept": ("torch", KEPT),
    "numpy": ("numpy", {}),
}
# What could keep NumPy's BLAS from choosing the kernels that fit the processor.
FORCED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
# After a turn at several threads: OpenMP's threads look for work for 5 to 10 ms before they sleep, and would slow the next side down.
SETTLE_SECONDS, SETTLE_STEPS, ASLEEP_STEPS = 0.001, 40, 2


class Worker:
    """A process that holds one library and does what it is told (see worker.py)."""

    def __init__(self, library: str, threads: int, told: dict[str, str]) -> None:
        # Set before the library loads, for whatever reads them then.
        own = {name: value for name, value in os.environ.items() if name not in FORCED}
        environment = own | {"OMP_NUM_THREADS": str(threads), "TLEAN_NUM_THREADS": str(threads)} | told
        command = [sys.executable, str(FOLDER / "worker.py"), library]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def ready(self) -> Worker:
        """Wait until the library is loaded."""
        self._answer()
        return self

    def ask(self, **request: Any) -> dict[str, Any]:
        """One request and its answer. Raises: RuntimeError with the worker's words where it failed."""
        assert self.process.stdin is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = self._answer()
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a benchmark process ended before it answered; its message is above")
        return json.loads(line)

    def busy_seconds(self) -> float:
        """Processor time that its threads have had so far (0 where the system does not say)."""
        told = Path(f"/proc/{self.process.pid}/task")
        total = 0
        with contextlib.suppress(OSError):
            for thread in told.iterdir():
                total += int((thread / "schedstat").read_text().split()[0])
        return total * 1e-9

    def awake(self) -> bool:
        """Whether a thread of it runs or wants to, or the system does not say. (The time that a thread had is told only later.)"""
        try:
            threads = list(Path(f"/proc/{self.process.pid}/task").iterdir())
            states = [(thread / "stat").read_text().rpartition(")")[2].split()[0] for thread in threads]
        except OSError:
            return True
        return "R" in states

    def settle(self) -> None:
        """Wait until its threads sleep."""
        quiet = 0
        for _ in range(SETTLE_STEPS):
            time.sleep(SETTLE_SECONDS)
            quiet = 0 if self.awake() else quiet + 1
            if quiet == ASLEEP_STEPS:
                return

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Quiet:
    """How much a measurement is disturbed: by the sides that wait while another is timed, and by other programs."""

    def __init__(self) -> None:
        self.waited = self.busy = 0.0
        self._begun = time.perf_counter(), _machine_seconds()

    @contextlib.contextmanager
    def watch(self, waiting: list[Worker]) -> Iterator[None]:
        """Watch these sides, which should be asleep."""
        begun, before = time.perf_counter(), sum(w.busy_seconds() for w in waiting)
        yield
        self.waited += time.perf_counter() - begun
        self.busy += sum(w.busy_seconds() for w in waiting) - before

    def found(self, sides: list[Worker]) -> dict[str, float]:
        """Cores taken by sides that waited (`idle`), and by other programs since this was made (`others`)."""
        found = {"idle": self.busy / self.waited} if self.waited else {}
        begun, before = self._begun
        own = sum(w.busy_seconds() for w in sides) + time.process_time()
        now = _machine_seconds()
        if now:
            found["others"] = max(0.0, now - before - own) / (time.perf_counter() - begun)
        return found


def _machine_seconds() -> float:
    """Processor time that all programs have had since the machine started (0 where the system does not say)."""
    try:
        ticks = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return 0.0
    # user, nice, system, (idle, iowait), irq, softirq, steal
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
