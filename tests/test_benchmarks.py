"""The benchmark harness: it runs, its ratios are right, and its page says what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def test_rows_have_names_of_their_own() -> None:
    from rows import all_rows

    names = [row.name for row in all_rows()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", ["chain_100_ops_of_4", "where_64", "cross_entropy_32x10", "mlp_step_adam_N1"])
def test_a_row_is_measured(row: str, tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "harness.py"), "--rows", f"^{row}$", "--budget", "0.01", "--json", str(tmp_path / "out.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    modes = ["step"] if "step" in row else ["forward", "forward+backward"]
    assert [r["mode"] for r in results] == modes
    assert all(0 < r["tlean_s"] < 1 and r["pairs"] >= 7 for r in results)


def test_no_row_of_that_name() -> None:
    command = [sys.executable, str(FOLDER / "harness.py"), "--rows", "^nothing$"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "no row matches '^nothing$'" in done.stderr


def test_ratios_are_of_pairs() -> None:
    from report import summary, time_text

    # The machine became ten times slower half-way: the pairs still say one half.
    ours = [1.0, 1.1, 0.9, 10.0, 11.0]
    found = summary({"tlean": ours, "torch": [2 * t for t in ours]})
    assert found["ratio"] == found["ratio_low"] == found["ratio_high"] == 0.5
    assert found["tlean_s"] == 1.1 and found["pairs"] == 5
    assert "ratio" not in summary({"tlean": ours})
    assert [time_text(t) for t in (2.5, 0.0123, 4.56e-5, 7e-10)] == ["2.5 s", "12.3 ms", "45.6 µs", "0.7 ns"]


def test_the_page() -> None:
    from report import environment, markdown

    common = {"pairs": 9, "tlean_s": 1e-6, "torch_s": 2e-6, "ratio": 0.5, "ratio_low": 0.4, "ratio_high": 0.6, "threads": 1}
    page = markdown(
        {
            "environment": environment(),
            "threads": [1],
            "results": [{"row": "add_64", "mode": "forward", **common}, {"row": "sum_8x8", "mode": "forward", **common, "ratio": 2.0}],
            "failed": [{"row": "exp_64", "threads": 1, "error": "OSError: no"}],
        }
    )
    assert "| add_64 | forward | 1 µs | 2 µs | 0.50 | 0.40 – 0.60 |" in page
    assert "1 of 2 rows faster than PyTorch; geometric mean of the ratios 1.00." in page
    assert "- exp_64, 1 threads: OSError: no" in page and "## GPU\n\nNot measured yet." in page
