"""Child processes: what a program does to its process is a finding, not the end of the job."""

from __future__ import annotations

import faulthandler
import mmap
import os
import pickle
import re
import select
import signal
import struct
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import faces
from .faces import FindingError
from .lockstep import run_program
from .program import Program


@dataclass
class Outcome:
    """What became of one program.

    `check` is "" where all is well, else what failed: a check, "signal", "hang" or "error"; `text` says how, and in which run.
    """

    check: str = ""
    text: str = ""
    count: Counter[str] = field(default_factory=Counter)
    program: Program | None = None

    @property
    def signature(self) -> str:
        """What shrinking has to keep: the check; the signal; which errors were raised."""
        if self.check in ("signal", "hang"):
            return f"{self.check} {self.text}"
        return " ".join([self.check, *re.findall(r"\b\w+Error\b", self.text)])


def examine(program: Program) -> Outcome:
    """Run a program's checks in this process."""
    count: Counter[str] = Counter()
    try:
        run_program(program, count)
    except FindingError as error:
        return Outcome(error.check, error.text, count, program)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {str(error)[:300]} ({where.name}, line {where.lineno})"
        return Outcome("error", text, count, program)
    return Outcome("", "", count, program)


class Child:
    """A forked process that examines programs one after another.

    Args:
        tasks: (label, function that makes the program) for each.
    """

    def __init__(self, tasks: Sequence[tuple[int, Callable[[], Program]]]) -> None:
        self.left = [label for label, _ in tasks]
        self.started = time.monotonic()
        self.running: int | None = None
        self._bytes = b""
        self._stage = mmap.mmap(-1, 120)
        self.read, write = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.read)
            faces.watch(self._stage)
            self._work(write, tasks)
        os.close(write)

    @staticmethod
    def _work(write: int, tasks: Sequence[tuple[int, Callable[[], Program]]]) -> None:
        # In the child. What kernels and interpreters say on their way down would drown the report.
        faulthandler.disable()
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 2)
        try:
            for label, make in tasks:
                _send(write, (label, None))
                faces.note("")
                _send(write, (label, examine(make())))
        except BaseException:
            traceback.print_exc()
            os._exit(70)
        os._exit(0)

    def messages(self) -> Iterator[tuple[int, Outcome | None]]:
        """What has come: (label, None) where a program begins, (label, outcome) where it ends. Raises: EOFError when the child is gone."""
        piece = os.read(self.read, 1 << 20)
        if not piece:
            raise EOFError
        self._bytes += piece
        while len(self._bytes) >= 4:
            (size,) = struct.unpack("<I", self._bytes[:4])
            if len(self._bytes) < 4 + size:
                return
            label, outcome = pickle.loads(self._bytes[4 : 4 + size])
            self._bytes = self._bytes[4 + size :]
            self.started = time.monotonic()
            self.running = label if outcome is None else None
            if outcome is not None:
                self.left.remove(label)
            yield label, outcome

    def end(self, kill: bool = False) -> Outcome | None:
        """Wait for the child; the outcome of the program that it was at, if it ended in one."""
        if kill:
            os.kill(self.pid, signal.SIGKILL)
        os.close(self.read)
        _, status = os.waitpid(self.pid, 0)
        if self.running is None:
            return None
        self.left.remove(self.running)
        where = f"in {self._stage[:].decode(errors='replace').strip() or 'its beginning'}"
        if kill:
            return Outcome("hang", f"the time limit, {where}")
        if os.WIFSIGNALED(status):
            return Outcome("signal", f"{signal.Signals(os.WTERMSIG(status)).name} {where}")
        return Outcome("error", f"the process ended with status {os.waitstatus_to_exitcode(status)}")


def _send(write: int, message: Any) -> None:
    data = pickle.dumps(message)
    data = struct.pack("<I", len(data)) + data
    while data:
        data = data[os.write(write, data) :]


def examine_apart(programs: Sequence[Program], limit: float) -> Outcome:
    """Examine programs one after another in one child process: the outcome of the first that fails, or of the last."""
    child = Child([(k, (lambda p=p: p)) for k, p in enumerate(programs)])
    last = Outcome()
    while True:
        wait = limit - (time.monotonic() - child.started)
        ready = select.select([child.read], [], [], max(0.0, wait))[0]
        if not ready:
            return child.end(kill=True) or Outcome("hang", "the time limit")
        try:
            for _, outcome in child.messages():
                if outcome is not None:
                    last = outcome
                    if outcome.check:
                        child.running = None
                        child.end(kill=True)
                        return outcome
        except EOFError:
            return child.end() or last
