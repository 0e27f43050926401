"""The tour of the tape and the character-level transformer, run as a newcomer runs them, on a small budget."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = ("--steps", 40, "--batch-size", 4, "--context", 16, "--width", 16, "--heads", 2, "--layers", 1, "--length", 50)


def run(name: str, *arguments: object, here: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"TLEAN_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    return subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_the_tour(tmp_path: Path) -> None:
    done = run("tape_tour.py", here=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Tape of 7 nodes, float64" in done.stdout and "reversed(z), pulled back from (1, 2, 3): [3.0, 2.0, 1.0]" in done.stdout
    assert done.stderr == ""
    ET.parse(tmp_path / "out" / "tape.svg")
    assert (tmp_path / "out" / "tape.dot").read_text().startswith("digraph tape {")


def losses(output: str) -> list[float]:
    return [float(x) for x in re.findall(r"  loss ([\d.]+)", output)]


def test_the_transformer_learns_and_writes(tmp_path: Path) -> None:
    done = run("transformer_char.py", *SMALL, here=tmp_path)
    assert done.returncode == 0, done.stderr
    told = losses(done.stdout)
    assert len(told) == 10 and told[-1] < 0.9 * told[0] and "held back" in done.stdout
    assert "letters/s" in done.stderr and "s left" in done.stderr
    written = done.stdout.split("\n\n", 1)[1]
    line = (EXAMPLES / "sonnets.txt").read_text().split("\n")[0] + "\n"
    assert written.startswith(line) and len(written.removesuffix("\n")) == len(line) + 50


def test_both_backends_write_the_same(tmp_path: Path) -> None:
    runs = [run("transformer_char.py", *SMALL, "--backend", b, here=tmp_path).stdout for b in ("eager", "compiled")]
    assert runs[0] == runs[1] and len(losses(runs[0])) == 10
    assert run("transformer_char.py", *SMALL, "--seed", 1, here=tmp_path).stdout != runs[0]


def test_a_text_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "abc.txt").write_text("abcdefgh" * 60, encoding="utf-8")
    options = ("--data", "abc.txt", "--steps", 150, "--lr", 0.01, "--start", "abc", "--length", 40, "--temperature", 0.1)
    done = run("transformer_char.py", *SMALL, *options, here=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("abc.txt: 480 letters, 8 different")
    assert ("abcdefgh" * 6)[:43] in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--data", "nowhere.txt"), "nowhere.txt"),
        (("--steps", 0), "--steps must be greater than 0"),
        (("--heads", 3, "--width", 16), "multiple of --heads"),
        (("--context", 5000), "too few for a context of 5000"),
        (("--start", "Ω"), "letters that the text lacks: 'Ω'"),
        (("--steps", 30, "--context", 8, "--width", 8, "--layers", 1, "--heads", 1, "--lr", 1e30), "try a smaller --lr"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments: tuple[object, ...], said: str, tmp_path: Path) -> None:
    done = run("transformer_char.py", *arguments, here=tmp_path)
    assert done.returncode != 0 and said in done.stderr and "Traceback" not in done.stderr
