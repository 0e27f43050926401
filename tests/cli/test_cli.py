"""`python -m tlean`: each command runs, says what it should, and fails with the right status. (`mnist` is run in test_examples.py.)"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import tlean as tl
from tlean.cli import bench, check, digits, doctor, info, main, pictures
from tlean.data.readers import write_idx


def test_info(capsys):
    main(["info"])
    printed = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert printed["tlean"].startswith(tl.__version__)
    assert printed["threads"].startswith(str(tl.get_num_threads()))
    assert "built:" in printed["instruction"]
    assert "CUDA" in printed


def test_doctor(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    printed = capsys.readouterr().out
    assert ended.value.code == 0
    assert "ok      a compiled gradient: right" in printed
    assert "missing TensorBoard logs: needs tensorboardX; get it with: pip install 'tlean[tensorboard]'" in printed
    # A wrong gradient is no matter of taste.
    monkeypatch.setattr(tl, "grad", lambda f: lambda x: tl.AnyTensor(np.zeros_like(x)))
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    assert ended.value.code == 1
    assert "WRONG   a compiled gradient" in capsys.readouterr().out

    def broken(f):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(tl, "grad", broken)
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    assert ended.value.code == 1
    assert "WRONG   a compiled gradient: fails (RuntimeError: no such kernel)" in capsys.readouterr().out


def test_doctor_names_extras_and_packages_that_are_there():
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for part in doctor.PARTS:
        needed = {re.split(r"[\[<>=]", name)[0] for name in extras[part.extra]}
        assert {package for _, package in part.packages} <= needed, part.title
    told = {package for part in doctor.PARTS for _, package in part.packages} | {"pycuda"}
    assert told <= {*info.OPTIONAL}


def test_interrupted(monkeypatch):
    def interrupt(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "main", interrupt)
    with pytest.raises(SystemExit) as ended:
        main(["check"])
    assert ended.value.code == 130


def test_without_a_command_it_lists_them(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "doctor  what works here" in capsys.readouterr().err


def test_as_a_module():
    done = subprocess.run([sys.executable, "-m", "tlean", "info"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "NumPy" in done.stdout


def test_check(capsys):
    main(["check"])
    printed = capsys.readouterr().out
    assert "WRONG" not in printed
    done, of = re.search(r"(\d+) of (\d+) right", printed).groups()
    assert done == of
    assert int(of) > 90


def test_check_finds_what_is_wrong(capsys, monkeypatch):
    def wrong(record, **options):
        if record.name == "relu":
            raise AssertionError("relu, sample 0: off by 1")

    monkeypatch.setattr(check, "check_op", wrong)
    # A stream of random numbers that is not the definition's.
    monkeypatch.setattr(check.rng, "uniform", lambda shape, seed, dtype="float32": np.zeros(shape, dtype))
    with pytest.raises(SystemExit) as ended:
        main(["check", "--only", "^(relu|matmul|random numbers)$", "--verbose"])
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert "WRONG: relu, sample 0: off by 1" in printed
    assert printed.count("WRONG: the bits are not those of the definition") == 1
    assert re.search(r"^matmul +[\d.]+ s  right$", printed, re.MULTILINE)
    assert "1 of 3 right" in printed
    with pytest.raises(SystemExit, match="nothing to check"):
        main(["check", "--only", "nothing like that"])


def test_bench(capsys, monkeypatch, tmp_path):
    small = [bench._op("add", 12e3, "B", [(1000,), (1000,)], lambda o, a, b: o.add(a, b)), bench._adam(10**6)]
    monkeypatch.setattr(bench, "jobs", lambda: iter(small))
    before = tl.get_num_threads()
    main(["bench", "--seconds", "0.02", "--threads", "1", "--json", str(tmp_path / "figures.json")])
    tl.set_num_threads(before)
    lines = capsys.readouterr().out.splitlines()
    assert "1 threads" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["add", "Adam,"]
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert [f["name"] for f in figures] == ["add", "Adam, 1 million parameters"]
    assert all(0 < f["seconds"] < 10 for f in figures)


def test_every_job_of_the_bench_runs():
    for job in bench.jobs():
        if "10 million" not in job.name:
            job.build()()


@pytest.mark.parametrize("argv", [[], ["nothing"], ["bench", "--nothing"]])
def test_a_command_line_that_makes_no_sense(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["info", "doctor", "bench", "check", "export", "mnist"])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"usage: tlean {command}" in capsys.readouterr().out


def test_letters_that_a_stream_does_not_have():
    # "µ" of the times, "…" of the errors: in ASCII.
    program = (
        "import tlean.cli.bench as b\nfrom tlean.cli import main\n"
        "b.jobs = lambda: iter([b._op('add ×', 12.0, 'B', [(10,), (10,)], lambda o, x, y: o.add(x, y))])\n"
        "main(['bench', '--seconds', '0.01', '--threads', '1'])"
    )
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(tl.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "add x" in done.stdout and re.search(r"\d (us|ns)", done.stdout)


def test_a_reader_that_goes_away():
    program = f"{sys.executable} -c 'from tlean.cli import main; main([\"info\"])' | true"
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(Path(tl.__file__).parent.parent)}
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False, shell=True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["--version"], 0),
        ([], 2),
        (["nonsense"], 2),
        (["bench", "--seconds", "nan"], 2),
        (["bench", "--seconds", "-1"], 2),
        (["bench", "--threads", "-3"], 2),
        (["bench", "--threads", "x"], 2),
        (["check", "--only", "["], 2),
        (["mnist", "--epochs", "0"], 2),
        (["mnist", "--lr", "inf"], 2),
        (["mnist", "--device", "gpu"], 2),
        (["mnist", "--device", "cuda:x"], 2),
    ],
)
def test_command_lines_that_make_no_sense(argv, code, capsys):
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == code


def test_targets_are_looked_at_before_the_work(tmp_path, monkeypatch):
    def work(*args, **options):
        pytest.fail("the work was begun")

    monkeypatch.setattr(bench, "jobs", work)
    monkeypatch.setattr(tl, "fit", work)
    monkeypatch.setattr(digits.mnist, "load", work)
    (tmp_path / "file").write_text("")
    (tmp_path / "mnist.safetensors").mkdir()
    for argv, said in (
        (["bench", "--json", str(tmp_path / "no" / "f")], "no such folder"),
        (["bench", "--json", str(tmp_path)], "is a folder"),
        (["mnist", "--out", str(tmp_path / "file")], "File exists"),
        (["mnist", "--out", str(tmp_path / "file" / "inside")], "Not a directory"),
        (["mnist", "--out", str(tmp_path)], r"mnist\.safetensors is a folder"),
        *([] if tl.cuda.is_available() else [(["mnist", "--device", "cuda"], "tlean mnist: CUDA: ")]),
    ):
        with pytest.raises(SystemExit, match=said):
            main(argv)


@pytest.fixture
def noise(tmp_path):
    """A folder of MNIST files: 40 + 20 images of noise."""
    rng = np.random.default_rng(0)
    for prefix, n in (("train", 40), ("t10k", 20)):
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte", rng.integers(0, 256, (n, 28, 28)).astype(np.uint8))
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte", rng.integers(0, 10, n).astype(np.uint8))
    return tmp_path


def test_digits_without_optional_packages(noise, monkeypatch, capsys):
    for name in ("matplotlib", "matplotlib.figure", "safetensors", "safetensors.numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    main(["mnist", "--data", str(noise), "--epochs", "1", "--samples", "20", "--out", str(noise / "out")])
    printed = capsys.readouterr()
    assert "batches of 20" in printed.out and "test accuracy: " in printed.out
    assert "no pictures: " in printed.err and "the model was not saved: " in printed.err
    assert not list((noise / "out").iterdir())


def test_digits_interrupted_write_nothing(noise, monkeypatch, capsys):
    fit = tl.fit
    monkeypatch.setattr(tl, "fit", lambda *a, **k: fit(*a, **k, callbacks=[lambda run: signal.raise_signal(signal.SIGINT)]))
    with pytest.raises(SystemExit) as ended:
        main(["mnist", "--data", str(noise), "--epochs", "2", "--out", str(noise / "out")])
    assert ended.value.code == 130 and "interrupted" in capsys.readouterr().err
    assert not list((noise / "out").iterdir())


def test_the_picture_of_misread_digits(tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure")
    drawn = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, path, **options: drawn.append(self))
    scores = np.eye(10)[[0, 1, 7, 3, 9]]
    pictures.misread(tl.data.Dataset(np.zeros((5, 1, 28, 28)), np.arange(5)), scores, tmp_path / "f.png", columns=2)
    assert [axes.get_title() for axes in drawn[0].axes] == ["2 read as 7", "4 read as 9"]
    assert drawn[0].get_suptitle() == "2 of 5 digits misread (40.00%)"
