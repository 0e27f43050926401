"""The examples of loops and derivatives, each with `--quick`, in this process: what they find, the picture, and their pages in the docs."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the examples draw with matplotlib")

ROOT = Path(__file__).parents[2]
NAMES = ("neural_ode", "cartpole_ilqr", "heat_control", "influence", "deep_equilibrium", "hidden_markov", "gpt_cache", "policy_gradient")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Runs an example in an empty folder; returns what it printed, and what it told on standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "examples"))

    def call(name: str, *arguments: object) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
        told = capsys.readouterr()
        return told.out, told.err

    yield call
    sys.modules.pop("common", None)


def numbers(pattern: str, text: str) -> list[float]:
    match = re.search(pattern, text)
    assert match, text
    return [float(x) for x in match.groups()]


def right(name: str, out: str) -> bool:
    """Whether an example found what it looks for, as far as a second of work goes."""
    if name == "neural_ode":
        errors = [float(e) for e in re.findall(r"error ([\d.e-]+)$", out, re.MULTILINE)]
        steps = [int(n) for n in re.findall(r"(\d+) steps", out)]
        return steps == sorted(steps) and errors == sorted(errors, reverse=True) and errors[-1] < 1e-6
    if name == "cartpole_ilqr":
        (angle,) = numbers(r"angle ([\d.]+) degrees", out)
        return abs(angle - 180) < 1
    if name == "heat_control":
        before, after = numbers(r"loss ([\d.e-]+) -> ([\d.e-]+);", out)
        return after < 0.05 * before
    if name == "influence":
        good, among = numbers(r"(\d+) of (\d+) wrong labels", out)
        return good > 0.7 * among and "the first as alone: True" in out
    if name == "deep_equilibrium":
        ours, other = re.findall(r"([\d.]+) % of new points right", out)
        return float(ours) > 90 and float(other) > 90
    if name == "hidden_markov":
        (share,) = numbers(r"([\d.]+) % of the times", out)
        return share > 80 and "sum to 1: True" in out
    if name == "policy_gradient":
        first, last = numbers(r"mean reward (\d+) of the first \d+, (\d+) of the last", out)
        return last > 1.3 * first
    return "the same letters without a cache: True" in out


@pytest.mark.parametrize("name", NAMES)
def test_quick(name: str, run, tmp_path: Path) -> None:
    out, err = run(name, "--quick", "--out", "made")
    assert right(name, out), out
    assert (tmp_path / "made" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert f"picture: made/{name}.png" in out and "s left" in err


@pytest.mark.parametrize("way", ["none", "sqrt", "9"])
def test_heat_with_other_memory(way: str, run) -> None:
    options = ("--quick", "--cells", 12, "--steps", 20, "--iterations", 3, "--no-plot")
    lines = [run("heat_control", *options, "--checkpoint", c)[0].splitlines()[0] for c in ("optimal", way)]
    assert lines[0] == lines[1]


def test_other_ways(run, tmp_path: Path) -> None:
    assert "picture" not in run("neural_ode", "--quick", "--solver", "rk4", "--steps", 5, "--no-plot")[0]
    (tmp_path / "s.csv").write_text("value\n" + "\n".join(str((k // 20) % 2) for k in range(80)))
    assert "regime 2: mean" in run("hidden_markov", "--quick", "--file", "s.csv", "--states", 2, "--no-plot")[0]
    (tmp_path / "abc.txt").write_text("abcdefgh" * 60)
    out, _ = run("gpt_cache", "--data", "abc.txt", "--steps", 5, "--context", 40, "--width", 8, "--heads", 2, "--length", 25, "--no-plot")
    assert out.startswith("480 letters, 8 different")


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        *((name, ("--updates" if name == "policy_gradient" else "--steps", 0), "must be") for name in NAMES),
        ("heat_control", ("--checkpoint", "some"), "--checkpoint is none, sqrt, optimal or a number"),
        ("gpt_cache", ("--heads", 3), "--width must be a multiple of --heads"),
        ("gpt_cache", ("--data", "nowhere.txt"), "nowhere.txt"),
        ("hidden_markov", ("--file", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_mistakes_are_told_in_a_line(name: str, arguments: tuple[object, ...], said: str, run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(name, *arguments)
    assert said in capsys.readouterr().err + str(stopped.value)


@pytest.mark.parametrize("name", NAMES)
def test_each_has_help_and_a_page(name: str, run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(name, "--help")
    assert "default" in capsys.readouterr().out
    page = (ROOT / "docs" / "examples" / f"{name}.md").read_text(encoding="utf-8")
    assert f"python examples/{name}.py" in page and f"({name}.png)" in page
    assert (ROOT / "docs" / "examples" / f"{name}.png").stat().st_size < 100_000
    assert f"examples/{name}.md" in (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
