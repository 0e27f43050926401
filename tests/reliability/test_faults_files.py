"""Programs as files: whatever stops the call that writes one, or that reads one, the files are those of before or those of after, the next
call works, and what the process keeps is not spoiled."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from faults.inject import exception_at, forget, lines_of, no_heap_at, no_memory_at, requests_of

import tlean as tl
from tlean import locks, nn
from tlean.compiler.graph import Origin

pytestmark = pytest.mark.usefixtures("without_capture_check")
ERRORS = (KeyboardInterrupt, MemoryError)
#: At most so many lines of each call that are of the compiler; TLEAN_EVERY_LINE=1 tries all lines of everything.
MOST = 16
OWN = (f"interop{os.sep}", f"onnx{os.sep}")
FILES = ("files.py",)
X = np.array([0.5, -1.0, 2.0], np.float32)


def model(seed):
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).init(seed)


def looped(x):
    h = tl.fori_loop(0, 3, lambda i, h: tl.tanh(h * 0.5 + x), x)
    return tl.sum(tl.cond(tl.sum(h) > 0.0, lambda: h * h, lambda: tl.softplus(h)))


def export_c(folder, f):
    tl.export_c(f, tl.Spec((3,)), name="net", path=folder / "net.c", what="value_and_grad" if f is looped else "value")


def save_program(folder, f):
    tl.save_program(folder / "net.safetensors", f, tl.Spec((3,)))


def onnx_export(folder, f):
    tl.onnx.export(f, folder / "net.onnx", tl.Spec((3,)))


def load_program(folder, f):
    return tl.load_program(folder / "net.safetensors")(X).numpy().tobytes()


def onnx_load(folder, f):
    made = tl.onnx.load(folder / "net.onnx")(X)
    return (made if hasattr(made, "numpy") else made[0]).numpy().tobytes()


WRITERS = {"export_c": export_c, "save_program": save_program, "onnx.export": onnx_export}
#: Where memory is lacking while a model of ONNX is read, it is the model that is said to need too much.
LACKS = {"onnx.load": (MemoryError, tl.DataError)}
READERS = {"load_program": (load_program, save_program), "onnx.load": (onnx_load, onnx_export)}
NEEDS = {"save_program": "safetensors", "load_program": "safetensors", "onnx.export": "onnx", "onnx.load": "onnx"}


def needed(name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason="the files are written and read with it")


def contents(folder):
    """Every file of a folder, hidden ones too."""
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def sites(lines):
    """The lines that are tried: of files and their forms all, the first and the last time; of the compiler some."""
    if os.environ.get("TLEAN_EVERY_LINE"):
        return list(range(len(lines)))
    first, last = {}, {}
    for k, line in enumerate(lines):
        first.setdefault(line, k)
        last[line] = k
    # What writes and renames, all; of the many lines that read a program and make a text of it, some.
    near = {k for seen in (first, last) for line, k in seen.items() if line[0].endswith(FILES)}
    chosen = [k for line, k in first.items() if any(o in line[0] for o in OWN) and k not in near]
    rest = [k for line, k in first.items() if not any(o in line[0] for o in OWN)]
    return sorted({*near, *(k for part in (chosen, rest) for k in part[:: max(1, len(part) // MOST)])})


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_the_old_one_or_the_new_one(name, tmp_path):
    needed(name)
    write = WRITERS[name]
    folders = [tmp_path / n for n in ("old", "new", "here")]
    for folder in folders:
        folder.mkdir()
    f = looped if name == "export_c" else model(1)
    write(folders[0], model(0))
    write(folders[1], f)
    old, new = map(contents, folders[:2])
    assert old.keys() == new.keys() and all(old[n] != new[n] for n in old)
    here = folders[2]
    lines = lines_of(lambda: write(here, f))
    chosen = sites(lines)
    counts = Counter()
    for n, k in enumerate(chosen):
        for file, data in old.items():
            (here / file).write_bytes(data)
        if n % 8 == 0:
            forget()
        try:
            with exception_at(k, ERRORS[n % 2], blocks=False):
                write(here, f)
        except ERRORS:
            counts["stopped"] += 1
        assert not any(lock._is_owned() for lock in locks._locks), lines[k]
        found = contents(here)
        # Nothing else is left in the folder; each file is whole.
        assert found.keys() == old.keys(), lines[k]
        for file, data in found.items():
            assert data in (old[file], new[file]), f"{file} is neither, stopped at {lines[k]}"
        # Of two files, one may be new while the other is not yet: only between the two renames.
        counts["old" if found == old else "new" if found == new else "between"] += 1
        write(here, f)
        assert contents(here) == new, lines[k]
    assert counts["stopped"] >= 0.9 * len(chosen) and counts["old"] and counts["new"], counts
    assert counts["between"] <= (0.2 * len(chosen) if len(old) > 1 else 0), counts


@pytest.mark.parametrize("name", READERS)
def test_what_was_stopped_while_it_read_reads_again(name, tmp_path):
    needed(name)
    read, write = READERS[name]
    write(tmp_path, model(1))
    wanted, before = read(tmp_path, None), contents(tmp_path)
    stopped, chosen = 0, []
    lines = lines_of(lambda: read(tmp_path, None))
    chosen = sites(lines)
    for n, k in enumerate(chosen):
        if n % 8 == 0:
            forget()
        try:
            with exception_at(k, ERRORS[n % 2], blocks=False):
                read(tmp_path, None)
        except (KeyboardInterrupt, *LACKS.get(name, (MemoryError,))):
            stopped += 1
        assert read(tmp_path, None) == wanted, lines[k]
    assert stopped >= 0.9 * len(chosen) and contents(tmp_path) == before


@pytest.mark.parametrize("name", [*WRITERS, *READERS])
def test_no_memory_for_an_array(name, tmp_path):
    needed(name)
    f = model(1)
    call, write = (WRITERS[name], None) if name in WRITERS else READERS[name]
    if write is not None:
        write(tmp_path, f)
    wanted = call(tmp_path, f), contents(tmp_path)
    count, ended = requests_of(lambda: call(tmp_path, f)), 0
    assert count
    for k in range(0, count, max(1, count // 60)):
        for lasting in (False, True):
            try:
                with no_memory_at(k, lasting):
                    call(tmp_path, f)
            except LACKS.get(name, (MemoryError,)):
                ended += 1
            assert contents(tmp_path) == wanted[1]
            assert (call(tmp_path, f), contents(tmp_path)) == wanted
    assert ended


def test_the_line_of_an_op_without_memory():
    """Frames are objects that Python makes when they are asked for: without memory there is no line, or an error of that."""
    pytest.importorskip("_testcapi", reason="it refuses the memory")

    def line(k):
        with no_heap_at(k):
            return Origin.here(None)

    found = []
    for k in range(60):
        try:
            found.append(line(k))
        except MemoryError:
            found.append("no memory")
    assert "no memory" in found
    assert {at.line[0] for at in found if isinstance(at, Origin)} == {__file__}


def test_a_folder_that_cannot_be_written_keeps_its_files(tmp_path, monkeypatch):
    """The disk is full while the second file of two is written: the first stays as it was, too."""
    export_c(tmp_path, model(0))
    before = contents(tmp_path)
    right = Path.write_text

    def full(self, text, *args, **options):
        if ".h." in self.name or self.name.endswith(".h"):
            raise OSError(28, "No space left on device")
        return right(self, text, *args, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        export_c(tmp_path, looped)
    assert contents(tmp_path) == before
