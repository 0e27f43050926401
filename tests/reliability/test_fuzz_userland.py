"""The API fuzzer and the file fuzzer in short: `python -m tests.fuzz_api` and `python -m tests.fuzz_files` are the long forms."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.fuzz_api import __main__ as command  # noqa: E402
from tests.fuzz_api import child, job, world  # noqa: E402
from tests.fuzz_api.draw import Call, draw  # noqa: E402
from tests.fuzz_api.targets import Target, find  # noqa: E402
from tests.fuzz_files import job as files  # noqa: E402
from tests.fuzz_files.damage import damaged  # noqa: E402
from tests.fuzz_files.samples import Sample, samples  # noqa: E402

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the fuzzers fork")


def test_calls() -> None:
    found = list(job.run(1500, 11))
    assert not found, "\n".join(f"{f.text}: {f.error}: {f.words} [{f.where}]" for f in found)


def test_files(tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="checkpoints are safetensors files")
    found = list(files.run(600, 5))
    assert not found, "\n".join(f"{f.number}, {f.sample}: {f.words}" for f in found)


def test_the_same_seed_makes_the_same_calls_and_files(tmp_path: Path) -> None:
    targets = find()
    assert [draw(targets, 3, k).text for k in range(50)] == [draw(find(), 3, k).text for k in range(50)]
    assert len({draw(targets, 3, k).text for k in range(50)}) > 45
    whole = b"0123456789" * 20
    assert [damaged(whole, random.Random(k)) for k in range(50)] == [damaged(whole, random.Random(k)) for k in range(50)]
    assert sum(damaged(whole, random.Random(k)) != whole for k in range(50)) > 40


def test_everything_public_is_called() -> None:
    names = {t.name for t in find()}
    for name in ("tl.relu", "tl.grad", "tl.fit", "tl.save", "nn.Linear", "nn.init.normal", "tl.optim.Adam", "tl.data.read_csv"):
        assert name in names
    for method in (
        "tl.Session().matmul",
        "tl.Tape().backward",
        "tl.TapeM().relu",
        "layer().predict",
        "trainer().optim_step",
        "used().step",
    ):
        assert method in names
    assert len(names) > 900


def wrong(kind: str) -> Call:
    return Call(Target("nn", "nn.wrong", "", "", ()), "", kind)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("nn.Linear(3, 2)", None),
        ("nn.Linear(3, 2, no=1)", None),
        ("nn.Linear('a', 2)", None),
        ("nn.Function(fails)(tl.Session(), ref(tl.Session(), 2))", None),
        ("nn.Sequential(nn.Function(fails)).predict(np.ones(3))", None),
        ("np.zeros(3).nothing", "AttributeError"),
        ("{}['a']", "KeyError"),
        ("int('a')", "ValueError"),
        ("tl.no_such", "AttributeError"),
        ("__import__('sys').exit(3)", "SystemExit"),
        ("in_threads(lambda: {}['a'])", "KeyError"),
        # A function of Python's own leaves no frame.
        ("tl.tree.map(float, [np.ones(3)])", None),
        ("tl.TapeM.run(np.float32)", None),
        ("tl.vjp(type, np.ones(3))", None),
        ("tl.tree.map(int, ['a'])", "ValueError"),
    ],
)
def test_what_counts_as_a_finding(text: str, error: str | None) -> None:
    found = child.attempt(wrong(text))
    assert (found and found["error"]) == error
    assert world.loss and (found is None or found["where"])


CRASHES = [("KeyError", False, 1), ("KeyError", True, 0), ("crash", True, 1), ("hang", True, 1)]


@pytest.mark.parametrize(("error", "crashes", "status"), CRASHES)
def test_which_findings_fail_the_job(monkeypatch: pytest.MonkeyPatch, error: str, crashes: bool, status: int) -> None:
    monkeypatch.setattr(command, "run", lambda *given: iter([job.Finding(1, "", "f()", "f", error, "", "?")]))
    monkeypatch.setattr(sys, "argv", ["fuzz_api", *(["--crashes"] if crashes else [])])
    assert command.main() == status


def test_crashes_and_hangs_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # Children draw for themselves: what they are given comes by way of the seed's calls alone.
    targets = [t for t in find() if t.name == "tl.data.Batches"]
    assert len(targets) == 1
    script = (
        "import tests.fuzz_api.child as c, os, time\n"
        "c.attempt = lambda call: os.abort() if c.calls == 2 else time.sleep(60) if c.calls == 4 else None\n"
        "real = c.draw\n"
        "def draw(targets, seed, number):\n    c.calls = number\n    return real(targets, seed, number)\n"
        "c.draw = draw\nc.main()\n"
    )

    def start(seed: int, first: int, last: int, only: str, folder: str) -> object:

        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", script, str(seed), str(first), str(last), only]
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    monkeypatch.setattr(job, "_start", start)
    found = list(job.run(6, 0, "tl.data.Batches$", limit=1.0))
    assert [(f.number, f.error) for f in found] == [(2, "crash"), (4, "hang")] and found[0].words == "SIGABRT"
    assert "from tests.fuzz_api.world import *" in found[0].script()


def test_what_the_file_fuzzer_says(tmp_path: Path) -> None:
    path = tmp_path / "sample.bin"
    path.write_bytes(b"")

    def fails(error: type[Exception], words: str) -> str | None:
        def read(where: Path) -> None:
            raise error(words)

        return files.verdict(Sample("x", b"", read), path)

    assert fails(files.DataError, f"{path}: damaged") is None
    assert str(fails(files.DataError, "damaged")).startswith("DataError that names no file")
    assert str(fails(KeyError, "a")).startswith("KeyError")
    assert str(fails(MemoryError, "")).startswith("MemoryError")
    assert {s.name for s in samples(tmp_path)} >= {"csv", "npy", "npz", "idx", "checkpoint"}
