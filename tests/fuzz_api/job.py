"""Calls in child processes, and what was found."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Finding:
    """A call that was not answered as it should be."""

    number: int
    setup: str
    text: str
    name: str
    error: str
    words: str
    where: str

    @property
    def kind(self) -> tuple[str, str, str]:
        """What findings of one cause share."""
        return self.error, self.where, self.name if self.where == "the call itself" or self.error in ("crash", "hang") else ""

    def script(self) -> str:
        """A program that shows it."""
        head = f"# {self.name}: {self.error} {self.words.splitlines()[0] if self.words else ''} ({self.where})"
        lines = [head, "from tests.fuzz_api.world import *", *([self.setup] if self.setup else []), f"print({self.text})"]
        return "\n".join(lines) + "\n"


def _start(seed: int, first: int, last: int, only: str, folder: str) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "TLEAN_OFFLINE": "1",
        "MPLBACKEND": "Agg",
        "PYTHONHASHSEED": "0",
        "XDG_CACHE_HOME": folder,
    }
    command = [sys.executable, "-m", "tests.fuzz_api.child", str(seed), str(first), str(last), only]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _lines(process: subprocess.Popen[str]) -> tuple[threading.Thread, queue.Queue[str | None]]:
    """The lines of a child as they come; None at the end."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line.strip())
        lines.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader, lines


def run(calls: int, seed: int, only: str = "", limit: float = 20.0, first: int = 0, batch: int = 1000) -> Iterator[Finding]:
    """Make the calls `first` to `first + calls` of a seed; give what is found.

    Args:
        only: a regular expression that area and name of what is called match.
        limit: seconds that a call may take.
        batch: calls of one child, so that what one leaves behind does not pile up.
    """
    from .draw import draw
    from .targets import find

    targets = [t for t in find() if re.search(only, f"{t.area} {t.name}")]
    if not targets:
        raise SystemExit(f"nothing to call has a name that matches {only!r}")

    def finding(number: int, said: dict[str, Any]) -> Finding:
        call = draw(targets, seed, number)
        return Finding(number, call.setup, call.text, call.target.name, said["error"], said["words"], said["where"])

    number, end = first, first + calls
    while number < end:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            _furnish(Path(folder))
            line, at = "", None
            with _start(seed, number, min(number + batch, end), only, folder) as process:
                reader, lines = _lines(process)
                while line is not None and line != "end":
                    try:
                        # The first line comes when everything is imported.
                        line = lines.get(timeout=limit if at is not None else 120)
                    except queue.Empty:
                        process.kill()
                        break
                    if line is not None and line.startswith("{"):
                        yield finding(int(at or 0), json.loads(line))
                    elif line and line != "end":
                        at = int(line)
                code = process.wait()
                reader.join()
            if line is not None and line != "end":
                yield finding(int(at or number), {"error": "hang", "words": f"more than {limit:g} s", "where": "?"})
                number = int(at or number) + 1
                continue
            if line is None:
                if at is None:
                    raise RuntimeError(f"the child ended with {code} before its first call")
                name = signal.Signals(-code).name if code < 0 else f"exit {code}"
                yield finding(at, {"error": "crash", "words": name, "where": "?"})
                number = at + 1
            else:
                number = min(number + batch, end)


def _furnish(folder: Path) -> None:
    """Some files that paths may name."""
    import numpy as np

    np.save(folder / "data.npy", np.arange(6.0))
    os.mkfifo(folder / "pipe")
    (folder / "table.csv").write_text("1,2\n3,4\n")
    (folder / "file").write_bytes(b"\0\0\x08\x01\0\0\0\2ab")
