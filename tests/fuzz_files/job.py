"""Damaged files by number, read in child processes."""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tlean as tl
from tlean.errors import DataError

from .damage import damaged
from .samples import Sample, samples

#: Bytes that a child may have beyond what it began with, and seconds that a file may take.
MEMORY, SECONDS = 2 << 30, 20


@dataclass(frozen=True)
class Finding:
    """A file that was not answered as it should be."""

    number: int
    sample: str
    words: str
    data: bytes

    @property
    def kind(self) -> tuple[str, str]:
        """What findings of one cause share."""
        return self.sample, self.words.split(":")[0]


def file(whole: list[Sample], seed: int, number: int) -> tuple[Sample, bytes]:
    """File `number` of a seed."""
    rng = random.Random(f"{seed}:{number}")
    sample = rng.choice(whole)
    return sample, damaged(sample.data, rng)


def verdict(sample: Sample, path: Path) -> str | None:
    """What is wrong with the answer to a file, or None."""
    try:
        sample.read(path)
    except DataError as error:
        named = str(path) in str(error) or path.name in str(error) or "labels.gz" in str(error)
        return None if named else f"DataError that names no file: {error}"
    except (tl.OptionError, tl.ShapeError, tl.DTypeError) as error:
        # Of a target that does not take its part of a checkpoint; the message names the file.
        return None if "into" in sample.name and path.name in str(error) else f"{type(error).__name__}: {error}"
    except MemoryError:
        return "MemoryError: more memory was asked for than such a file can hold"
    except BaseException as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:200]} ({Path(frame.filename).name}:{frame.name})"
    return None


def _child(whole: list[Sample], seed: int, first: int, last: int, folder: Path, out: int) -> None:
    warnings.simplefilter("ignore")
    statm = Path("/proc/self/statm")
    pages = int(statm.read_text().split()[0]) if statm.exists() else 0
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    path = folder / "sample.bin"
    for number in range(first, last):
        sample, data = file(whole, seed, number)
        path.write_bytes(data)
        os.write(out, f"{number}\n".encode())
        # Nothing here holds the interpreter's lock for long: the alarm is heard.
        signal.alarm(SECONDS)
        words = verdict(sample, path)
        signal.alarm(0)
        if words:
            os.write(out, f"{number} {words.splitlines()[0]}\n".encode(errors="replace"))


def run(files: int, seed: int, only: str = "", first: int = 0, batch: int = 2000) -> Iterator[Finding]:
    """Read the files `first` to `first + files` of a seed; give what is found. `only`: kinds whose name holds this."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        whole = [s for s in samples(folder) if only in s.name]
        if not whole:
            raise SystemExit(f"no kind of file has a name that holds {only!r}")
        for sample in whole:
            (folder / "sample.bin").write_bytes(sample.data)
            sample.read(folder / "sample.bin")
        number, end = first, first + files
        while number < end:
            at, last = number, min(number + batch, end)
            there, here = os.pipe()
            child = os.fork()
            if child == 0:
                try:
                    os.close(there)
                    _child(whole, seed, number, last, folder, here)
                    os._exit(0)
                except BaseException:
                    traceback.print_exc()
                    os._exit(70)
            os.close(here)
            with os.fdopen(there, errors="replace") as lines:
                for line in lines:
                    count, _, words = line.rstrip("\n").partition(" ")
                    at = int(count)
                    if words:
                        sample, data = file(whole, seed, at)
                        yield Finding(at, sample.name, words, data)
            status = os.waitpid(child, 0)[1]
            if os.WIFSIGNALED(status):
                sample, data = file(whole, seed, at)
                name = signal.Signals(os.WTERMSIG(status)).name
                yield Finding(at, sample.name, f"hang: more than {SECONDS} s" if name == "SIGALRM" else f"crash: {name}", data)
                number = at + 1
            elif status:
                print(f"the child ended with {status}", file=sys.stderr)
                raise RuntimeError("the file fuzzer's own child failed")
            else:
                number = last
