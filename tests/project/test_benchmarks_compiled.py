"""The benchmark of the compiled path: it runs on tlean alone, and its ratios and tables are right."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def test_it_measures(tmp_path: Path) -> None:
    from measuring.pinned import cores

    command = [
        sys.executable,
        str(FOLDER / "compiled.py"),
        "--sides",
        "tlean,nothing",
        "--rows",
        "pinn|chain_100|mlp_hvp",
        "--budget",
        "0.01",
    ]
    files = ["--json", str(tmp_path / "a.json"), "--markdown", str(tmp_path / "a.md")]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing is not installed: left out" in done.stderr
    results = json.loads((tmp_path / "a.json").read_text())["results"]
    threads = (1, 2)[: len(cores(2))]
    names = ["pinn_step", "mlp_hvp_N32", "chain_100_ops_of_4"]
    assert [(r["threads"], r["row"]) for r in results] == [(n, name) for n in threads for name in names]
    assert all(0 < r["seconds"]["tlean"] < 1 and not r["failed"] for r in results)
    page = (tmp_path / "a.md").read_text()
    assert (
        page.count("| pinn_step |") == len(threads)
        and "## Networks, 1 thread" in page
        and "ms for 1,000 nodes" in page
        and "Memory of a CNN step at batch 128" in page
    )


def test_part_runs_make_one_page(tmp_path: Path) -> None:
    files = ["--json", str(tmp_path / "a.json"), "--markdown", str(tmp_path / "a.md"), "--keep"]
    for rows in ("^identity_4|^layers_.*first$", "^scan_60.*forward$"):
        asked = ["--sides", "tlean", "--threads", "1", "--budget", "0.01", "--rows", rows]
        done = subprocess.run([sys.executable, str(FOLDER / "compiled.py"), *asked, *files], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    names = [r["row"] for r in json.loads((tmp_path / "a.json").read_text())["results"]]
    assert names == ["identity_4_forward", "layers_4_16_1_first", "scan_60_carries_614_steps_forward"]
    page = (tmp_path / "a.md").read_text()
    assert all(f"| {name} |" in page for name in names) and "## Calls, 1 thread" in page and "## Loops, 1 thread" in page


def test_rows_of_every_kind_have_a_bound_and_a_builder() -> None:
    from rows.bounded import rows
    from rows.compiled import all_rows
    from rows.libraries import KINDS

    assert len({row.name for row in all_rows()}) == len(all_rows()) and all(row.kind in KINDS for row in all_rows())
    assert {bound.of for row in rows() for bound in row.bounds} == {"torch", "jax", "numpy", "best", "base", "alone", "memory"}
    assert all(bound.of in (*row.programs(), "best", "alone", "memory") for row in rows() for bound in row.bounds)


def test_the_memory_of_a_compiled_step_is_at_most_half_of_eager() -> None:
    from measuring.pinned import peak_bytes

    assert peak_bytes("cnn_step_N128", "compiled") <= 0.5 * peak_bytes("cnn_step_N128", "eager")


def test_the_table() -> None:
    from compiled import measure
    from report.compiled import beside, page, value, verdict
    from rows.compiled import all_rows
    from rows.libraries import Bound

    class Fake:
        def __init__(self, seconds: float, numbers: list[float]) -> None:
            self.seconds, self.numbers, self.turns = seconds, numbers, 0

        def ask(self, **request: object) -> object:
            if "build" in request:
                return self.numbers
            if "calibrate" in request:
                return 10
            # The machine becomes ten times slower on the way; the pairs still say the same ratio.
            self.turns += 1
            return self.seconds * (1 if self.turns < 4 else 10)

    row = next(r for r in all_rows() if r.name == "rollout_8_states_500_steps_grad")
    row = replace(row, bounds=(Bound(0.3, "torch"), Bound(0.2, "best"), Bound(1.0, "jax")))
    sides = {"tlean": Fake(1e-3, [1.0, 2.0]), "torch": Fake(4e-3, [1.0, 2.0]), "jax": Fake(2e-3, [1.0, 2.5]), "numpy": Fake(1e-3, [1.0])}
    result = measure(row, sides, 0.01)
    assert result["ratio"] == {"torch": 0.25} and result["interval"] == {"torch": (0.25, 0.25)}
    assert result["failed"] == {"jax": "it computed something else"} and result["turns"] >= 7
    assert [value(result, bound) for bound in row.bounds] == [0.25, 0.25, None]
    assert verdict(result, row) == "met, **not met**, not measured"
    assert [beside(result, name) for name in ("tlean", "torch", "jax")] == ["10 ms", "40 ms · 0.25 (0.25–0.25)", "–"]
    report = {"results": [result | {"threads": 1, "date": "today"}], "environment": {"processor": "one"}, "alone": ""}
    assert (
        "| rollout_8_states_500_steps_grad | 8×8, 8, 500×8 float32 | 10 ms | 40 ms · 0.25 (0.25–0.25) | 1.5 of JAX | not measured |"
        in page(report)
    )


def test_each_part_of_the_page_is_replaced_alone(tmp_path: Path) -> None:
    from report.page import write_part

    page = tmp_path / "page.md"
    write_part(page, "# Measured\n\nrows\n\n## Overhead\n\nmore rows\n")
    write_part(page, "# GPU\n\nNot measured yet.", unless_there=True)
    for text in ("first", "second"):
        write_part(page, f"# The compiled path\n\n{text}\n")
    write_part(page, "# GPU\n\n## Products\n\nfast\n")
    write_part(page, "# GPU\n\nNot measured yet.", unless_there=True)
    write_part(page, "# Measured\n\nnew rows\n")
    assert page.read_text() == "# Measured\n\nnew rows\n\n# The compiled path\n\nsecond\n\n# GPU\n\n## Products\n\nfast\n"
    with pytest.raises(ValueError, match="no part"):
        write_part(page, "# Elsewhere\n")
