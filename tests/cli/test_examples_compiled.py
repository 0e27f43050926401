"""The examples of the compiled path, run as a newcomer runs them, on a small budget."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, *arguments: object, here: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"TLEAN_NUM_THREADS": "1", "PYTHONWARNINGS": "error", "MPLCONFIGDIR": str(here / "matplotlib")}
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    return subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("name", ["newton_hvp.py", "pinn.py", "compiled_vs_eager.py"])
def test_help_says_what_there_is(name: str, tmp_path: Path) -> None:
    done = run(name, "--help", here=tmp_path)
    assert done.returncode == 0 and "usage: " + name in done.stdout and "default:" in done.stdout


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("newton_hvp.py", ("--size", 1), "--size and --points are at least 2"),
        ("pinn.py", ("--steps", 0), "every number but the seed is greater than 0"),
        ("compiled_vs_eager.py", ("--batches", "1,x"), "--batches takes whole numbers"),
    ],
)
def test_wrong_options_are_named(name: str, arguments: tuple[object, ...], said: str, tmp_path: Path) -> None:
    done = run(name, *arguments, here=tmp_path)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(("problem", "size", "value"), [("rosenbrock", 5, 0.0), ("logistic", 8, None)])
def test_newton_converges(problem: str, size: int, value: float | None, tmp_path: Path) -> None:
    done = run("newton_hvp.py", "--problem", problem, "--size", size, "--points", 200, "--compare", here=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    iterations = [line.split() for line in lines if re.match(r" +\d+ ", line)]
    norms = [float(line[2]) for line in iterations]
    assert lines[-2] == "converged" and norms[-1] < 1e-8
    # Quadratic at the end: the last step squares the error, nearly.
    assert norms[-1] < norms[-2] ** 1.5
    if value is not None:
        assert float(iterations[-1][1]) == pytest.approx(value, abs=1e-12)
    assert float(lines[-1].rpartition(" ")[2]) > norms[-1]


def test_newton_says_when_it_did_not_converge(tmp_path: Path) -> None:
    done = run("newton_hvp.py", "--iterations", 2, here=tmp_path)
    assert done.returncode == 0 and re.search(r"^not converged: the gradient's norm is \d", done.stdout, re.MULTILINE)


def test_the_pinn_learns_alike_on_both_backends(tmp_path: Path) -> None:
    told = {}
    for backend in ("compiled", "eager"):
        arguments = ("--backend", backend, "--steps", 60, "--points", 64, "--known", 32, "--width", 12, "--depth", 2)
        done = run("pinn.py", *arguments, *(() if backend == "compiled" else ("--no-plot",)), here=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "step 60/60" in done.stderr
        told[backend] = [line for line in done.stdout.splitlines() if not line.startswith("picture")]
    assert told["compiled"] == told["eager"]
    assert float(told["compiled"][0].split()[1].rstrip(",")) < 0.5
    assert (tmp_path / "out" / "pinn.png").read_bytes().startswith(b"\x89PNG")


def test_a_loss_that_explodes_says_so(tmp_path: Path) -> None:
    done = run("pinn.py", "--steps", 20, "--points", 16, "--known", 8, "--lr", 1e30, "--no-plot", here=tmp_path)
    assert done.returncode != 0 and "try a smaller --lr" in done.stderr and "Traceback" not in done.stderr


def test_compiled_and_eager_are_equal_bit_for_bit(tmp_path: Path) -> None:
    done = run("compiled_vs_eager.py", "--steps", 20, "--batches", "1,7", "--rows", 4, here=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^ +(\d+) .* (\w+)$", done.stdout, re.MULTILINE) == [("1", "equal"), ("7", "equal")]
    assert "the first 4 of its instructions after fusion" in done.stdout and "MFLOP" in done.stdout
    assert re.findall(r"([\d.]+) times", done.stderr) and "ms in kernels" in done.stderr
