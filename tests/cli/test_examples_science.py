"""The scientific examples on small problems: what they print is right, and the picture is there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "science"
NAMES = ("curve_fit", "gaussian_process", "kalman_filter", "nuts", "robertson", "sinkhorn", "spectral")


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module(name)


def printed(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    example(name, monkeypatch).main(["--quick", "--no-plot", *arguments])
    return capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_help_says_what_there_is(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        example(name, monkeypatch).main(["--help"])
    assert f"usage: {name}.py" in (text := capsys.readouterr().out) and "--quick" in text


def test_the_picture_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    example("curve_fit", monkeypatch).main(["--quick", "--out", str(tmp_path)])
    assert (tmp_path / "curve_fit.png").read_bytes().startswith(b"\x89PNG")


def test_fits_find_what_was_put_in(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rows = re.findall(r"^ *(\w+ ?\d?) +(-?[\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)$", printed("curve_fit", monkeypatch, capsys), re.MULTILINE)
    found, error, repeated, true = np.array([row[1:] for row in rows], dtype=float).T
    assert len(rows) == 8 and (np.abs(found - true) < 4 * error + 1e-3).all()
    # The errors by the derivative of the fit are those of repetitions.
    assert (np.abs(np.log(error / repeated)) < 0.8).all()
    text = printed("kalman_filter", monkeypatch, capsys)
    for found, error, true in re.findall(r": ([\d.]+) ± ([\d.]+), true ([\d.]+)", text):
        assert abs(float(found) - float(true)) < 4 * float(error)
    near, seen = map(float, re.search(r"places: ([\d.]+) smoothed, ([\d.]+) as seen", text).groups())
    assert near < 0.6 * seen


def test_gaussian_processes_reach_their_best_likelihood(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    module = example("gaussian_process", monkeypatch)
    text = printed("gaussian_process", monkeypatch, capsys)
    rows = re.findall(r"^ *(rbf|matern \d/\d) +(-?[\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)", text, re.MULTILINE)
    assert [row[0] for row in rows] == list(module.KERNELS)
    x, y = module.observations(20, 0)
    for name, likelihood, *scales in rows:
        at = dict(zip(("amplitude", "length", "noise"), np.log(np.array(scales, dtype=float)), strict=True))
        loss = module.surprise(name, x, y - y.mean())
        assert float(loss(at)) == pytest.approx(-float(likelihood), abs=2e-3)
        assert all(float(loss(at | {k: at[k] + s})) > float(loss(at)) for k in at for s in (0.1, -0.1))


def test_the_reaction_keeps_its_mass(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("robertson", monkeypatch, capsys)
    assert float(re.search(r"A \+ B \+ C: (\S+)", text)[1]) < 1e-12
    assert "A = 0.1073" in text


def test_chains_agree(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("nuts", monkeypatch, capsys)
    rows = re.findall(r"^ +\S.*?((?: +-?[\d.]+){6})$", text, re.MULTILINE)
    assert len(rows) == 19 and max(float(row.split()[-1]) for row in rows) < 1.1


def test_clouds_flow_together(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    distances = [float(d) for d in re.findall(r"distance ([\d.]+)|end: ([\d.]+)", printed("sinkhorn", monkeypatch, capsys)) for d in d if d]
    assert len(distances) == 3 and distances[2] < 0.3 * distances[0]


def test_waves_are_weighed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("spectral", monkeypatch, capsys)
    assert float(re.search(r"mass: (\S+)", text)[1]) < 1e-12
    found = re.findall(r"sizes ([\d.]+) and ([\d.]+)", text)[-1]
    assert abs(float(found[0]) - 25.0) < 0.05 and abs(float(found[1]) - 16.0) < 0.05
