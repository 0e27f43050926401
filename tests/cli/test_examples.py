"""The digit examples and `python -m tlean mnist`, run as a newcomer runs them, on a small budget."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tlean.data.readers import write_idx

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def run(name: str, *arguments: object, data: str | None = None, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "TLEAN_DATA"}
    environment |= {"TLEAN_OFFLINE": "1", "TLEAN_NUM_THREADS": "1", "XDG_CACHE_HOME": str(cache), "MPLCONFIGDIR": str(cache / "matplotlib")}
    if data is not None:
        environment["TLEAN_DATA"] = data
    program = [str(EXAMPLES / name)] if name.endswith(".py") else ["-m", "tlean", name]
    command = [sys.executable, *program, *map(str, arguments)]
    return subprocess.run(command, cwd=cache, env=environment, capture_output=True, text=True, check=False, timeout=600)


def accuracy(output: str) -> float:
    found = re.findall(r"^test accuracy: ([\d.]+)%$", output, re.MULTILINE)
    assert len(found) == 1, output
    return float(found[0])


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    """A folder of MNIST files with an easy task: the place of a bright bar says the digit."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "digits"
    folder.mkdir()
    for prefix, n in (("train", 300), ("t10k", 70)):
        labels = rng.integers(0, 10, n).astype(np.uint8)
        images = rng.integers(0, 60, (n, 28, 28)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 + 2 * int(label) : 6 + 2 * int(label)] += 180
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels)
    return folder


@pytest.mark.parametrize(("name", "count"), [("mnist_mlp.py", 4), ("mnist_cnn.py", 8), ("mnist", 8)])
def test_end_to_end(name: str, count: int, bars: Path, tmp_path: Path) -> None:
    done = run(name, "--data", bars, "--epochs", 3, "--out", tmp_path / "made", "--threads", 1, cache=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "300 + 70 digits" in done.stdout
    assert len(re.findall(r"^epoch \d/3 .*loss \d.*test accuracy", done.stdout, re.MULTILINE)) == 3
    assert re.search(r"epoch 3/3  100%  loss .* accuracy .* digits/s  0 s left", done.stderr), done.stderr
    assert accuracy(done.stdout) > 60
    name = name.removesuffix(".py")
    for picture in ("curves", "misread"):
        assert (tmp_path / "made" / f"{name}_{picture}.png").read_bytes().startswith(b"\x89PNG")
    from safetensors.numpy import load_file

    assert len(load_file(tmp_path / "made" / f"{name}.safetensors")) == count


def test_one_seed_prints_the_same_and_another_does_not(bars: Path, tmp_path: Path) -> None:
    def printed(seed: int, threads: int) -> str:
        done = run("mnist_cnn.py", "--data", bars, "--epochs", 1, "--no-plot", "--seed", seed, "--threads", threads, cache=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = printed(0, 1)
    assert printed(0, 2) == first
    assert printed(1, 1) != first


def test_the_compiled_backend_prints_the_same(bars: Path, tmp_path: Path) -> None:
    runs = [
        run("mnist_cnn.py", "--data", bars, "--epochs", 2, "--no-plot", "--backend", backend, cache=tmp_path)
        for backend in ("eager", "compiled")
    ]
    assert all(done.returncode == 0 for done in runs), runs[1].stderr
    assert runs[0].stdout == runs[1].stdout


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_other_options(optimizer: str, bars: Path, tmp_path: Path) -> None:
    done = run(
        "mnist_mlp.py",
        "--optimizer",
        optimizer,
        "--batch-size",
        16,
        "--epochs",
        2,
        "--samples",
        100,
        "--no-plot",
        data=str(bars),
        cache=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "100 digits, batches of 16" in done.stdout and (tmp_path / "out" / "mnist_mlp.safetensors").exists()


def test_the_cnn_learns_the_digits_of_scikit_learn(tmp_path: Path) -> None:
    done = run("mnist_cnn.py", "--no-plot", cache=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "scikit-learn carries" in done.stdout
    assert accuracy(done.stdout) >= 97


@pytest.mark.skipif("TLEAN_DATA" not in os.environ, reason="needs real digits: set TLEAN_DATA to a folder with MNIST's files")
def test_the_cnn_learns_real_digits(tmp_path: Path) -> None:
    done = run("mnist_cnn.py", "--data", os.environ["TLEAN_DATA"], "--samples", 10_000, "--no-plot", cache=tmp_path)
    assert done.returncode == 0, done.stderr
    assert accuracy(done.stdout) >= 98


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--data", "nowhere"), "nowhere: no MNIST files here"),
        (("--epochs", "0"), "must be greater than 0"),
        (("--lr", "inf"), "must be greater than 0"),
        (("--device", "tpu"), "'cpu', 'cuda'"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = run("mnist_mlp.py", *arguments, cache=tmp_path)
    assert done.returncode != 0 and said in done.stderr and "Traceback" not in done.stderr


def test_a_damaged_file_is_named(bars: Path, tmp_path: Path) -> None:
    path = bars / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-5])
    done = run("mnist_mlp.py", "--data", bars, cache=tmp_path)
    assert done.returncode != 0 and f"{path}: the header says (300,)" in done.stderr and "Traceback" not in done.stderr


def test_a_loss_that_explodes_says_so(bars: Path, tmp_path: Path) -> None:
    done = run("mnist_mlp.py", "--data", bars, "--optimizer", "sgd", "--lr", 1e6, cache=tmp_path)
    assert done.returncode != 0 and "try a smaller --lr" in done.stderr and "Traceback" not in done.stderr
