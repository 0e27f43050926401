"""The examples of models, run as a newcomer runs them, on a small budget."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tlean.data.readers import write_idx

EXAMPLES = Path(__file__).parents[2] / "examples"
pytest.importorskip("matplotlib", reason="the examples draw with matplotlib")
load_file = pytest.importorskip("safetensors.numpy", reason="the examples save with safetensors").load_file


def run(name: str, *arguments: object, folder: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "TLEAN_DATA"}
    environment |= {"TLEAN_OFFLINE": "1", "TLEAN_NUM_THREADS": "1", "XDG_CACHE_HOME": str(folder), "MPLCONFIGDIR": str(folder / "m")}
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of MNIST files with an easy task: the place of a bright bar says the digit."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("digits")
    for prefix, n in (("train", 300), ("t10k", 70)):
        labels = rng.integers(0, 10, n).astype(np.uint8)
        images = rng.integers(0, 60, (n, 28, 28)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 + 2 * int(label) : 6 + 2 * int(label)] += 180
        write_idx(folder / f"{prefix}-images-idx3-ubyte", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels)
    return folder


def pictures(folder: Path) -> list[str]:
    found = sorted(folder.glob("*.png"))
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in found)
    return [p.name for p in found]


@pytest.mark.parametrize(("model", "epochs"), [("resnet", 6), ("lenet", 12)])
def test_digits(model: str, epochs: int, bars: Path, tmp_path: Path) -> None:
    options = ("--data", bars, "--model", model, "--width", 4, "--epochs", epochs, "--batch-size", 16, "--shift", 0, "--lr", 0.01)
    printed = run("mnist_resnet", *options, "--out", "made", folder=tmp_path)
    (accuracy,) = re.findall(r"^test accuracy: ([\d.]+)%$", printed, re.MULTILINE)
    assert float(accuracy) > 60
    assert len(re.findall(r"^epoch \d+  loss", printed, re.MULTILINE)) == epochs and "in all" in printed
    assert pictures(tmp_path / "made") == [f"mnist_{model}_confusion.png", f"mnist_{model}_curves.png"]
    rows = [json.loads(line) for line in (tmp_path / "made" / f"mnist_{model}.jsonl").read_text().splitlines()]
    assert len(rows) == epochs and rows[-1]["val_accuracy"] == pytest.approx(float(accuracy) / 100, abs=1e-4)
    # The checkpoint holds the whole run: resumed, nothing is left to do and all is said again.
    again = run("mnist_resnet", *options, "--out", "made", "--resume", "--no-plot", folder=tmp_path)
    assert [line for line in again.splitlines() if "pictures" not in line] == [x for x in printed.splitlines() if "pictures" not in x]


@pytest.mark.skipif("TLEAN_DATA" not in os.environ, reason="needs real digits: set TLEAN_DATA to a folder with MNIST's files")
def test_the_resnet_learns_real_digits(tmp_path: Path) -> None:
    printed = run("mnist_resnet", "--data", os.environ["TLEAN_DATA"], "--samples", 10_000, "--no-plot", folder=tmp_path)
    (accuracy,) = re.findall(r"^test accuracy: ([\d.]+)%$", printed, re.MULTILINE)
    assert float(accuracy) >= 98.6


def test_both_backends_print_the_same(bars: Path, tmp_path: Path) -> None:
    options = ("--data", bars, "--width", 4, "--epochs", 1, "--no-plot")
    one, other = (run("mnist_resnet", *options, "--backend", b, folder=tmp_path) for b in ("eager", "compiled"))
    assert one == other


def test_autoencoder(bars: Path, tmp_path: Path) -> None:
    printed = run("autoencoder", "--data", bars, "--epochs", 6, "--batch-size", 16, "--code", 4, "--lr", 0.005, folder=tmp_path)
    (error,) = re.findall(r"root mean square error of a pixel ([\d.]+)$", printed, re.MULTILINE)
    assert float(error) < 0.2
    assert pictures(tmp_path / "out") == ["autoencoder.png", "autoencoder_curves.png"]


def test_time_series(tmp_path: Path) -> None:
    printed = run("lstm_series", "--length", 400, "--window", 20, "--size", 12, "--epochs", 25, "--lr", 0.02, folder=tmp_path)
    ours, naive = re.findall(r"([\d.]+)(?:; of saying the last value again: |$)", printed.splitlines()[-1])
    assert float(ours) < 0.6 * float(naive)
    assert pictures(tmp_path / "out") == ["lstm_series.png"]


def test_time_series_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("value\n" + "\n".join(str(np.sin(k / 5)) for k in range(120)))
    printed = run("lstm_series", "--file", "s.csv", "--window", 10, "--size", 4, "--epochs", 1, folder=tmp_path)
    assert "picture: out/lstm_series.png" in printed


def test_weights_of_pytorch(tmp_path: Path) -> None:
    printed = run("torch_weights", "--out", "made", folder=tmp_path)
    assert re.search(r"classifier\.weight +-> 9\.weight +\(10, 400\)", printed)
    theirs = load_file(tmp_path / "made" / "from_torch.safetensors")
    again = run("torch_weights", "--file", "made/from_torch.safetensors", "--out", "other", folder=tmp_path)
    scores = printed.partition("scores")[2].partition("saved")[0]
    assert scores == again.partition("scores")[2].partition("saved")[0] and "written" not in again
    ours = load_file(tmp_path / "other" / "torch_weights.safetensors")
    assert any(np.array_equal(v, theirs["features.4.weight"]) for v in ours.values())


@pytest.mark.torch
def test_weights_that_pytorch_made(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="writes the file with PyTorch, where it is installed")
    from safetensors.torch import save_file

    layers = torch.nn
    net = layers.Sequential()
    pools = [layers.MaxPool2d(2), layers.MaxPool2d(2)]
    features = (layers.Conv2d(1, 6, 5, padding=2), layers.BatchNorm2d(6), layers.ReLU(), pools[0])
    net.add_module("features", layers.Sequential(*features, layers.Conv2d(6, 16, 5), layers.BatchNorm2d(16), layers.ReLU(), pools[1]))
    net.add_module("flatten", layers.Flatten())
    net.add_module("classifier", layers.Linear(400, 10))
    net(torch.rand(8, 1, 28, 28))
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    sys.path.insert(0, str(EXAMPLES))
    try:
        import torch_weights
    finally:
        sys.path.remove(str(EXAMPLES))
    import tlean as tl

    model = torch_weights.network()
    tl.load(tmp_path / "net.safetensors", model=model, names=torch_weights.names(model))
    images = torch.rand(3, 1, 28, 28)
    np.testing.assert_allclose(model.predict(images.numpy()).numpy(), net.eval()(images).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["mnist_resnet", "autoencoder", "lstm_series", "torch_weights"])
def test_help_and_mistakes(name: str, tmp_path: Path) -> None:
    assert "usage:" in run(name, "--help", folder=tmp_path)
    option = {"lstm_series": "--file", "torch_weights": "--file"}.get(name, "--data")
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), option, "nowhere"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and "nowhere" in done.stderr and "Traceback" not in done.stderr
