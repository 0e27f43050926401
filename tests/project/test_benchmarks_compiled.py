"""The benchmark of the compiled path: it runs on tlean alone, and its ratios and tables are right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def test_it_measures(tmp_path: Path) -> None:
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
    names = ["pinn_step", "mlp_hvp_N32", "chain_100_ops_of_4"]
    assert [(r["threads"], r["row"]) for r in results] == [(n, name) for n in (1, 2) for name in names]
    assert all(0 < r["seconds"]["tlean"] < 1 and not r["failed"] for r in results)
    page = (tmp_path / "a.md").read_text()
    assert (
        page.count("| pinn_step |") == 2
        and " · 1 thread · " in page
        and " · 2 threads · " in page
        and "ms for 1,000 nodes" in page
        and "Memory of a CNN step at batch 128" in page
    )


def test_the_memory_of_a_compiled_step_is_at_most_half_of_eager() -> None:
    from compiled import peak_bytes

    assert peak_bytes("cnn_step_N128", "compiled") <= 0.5 * peak_bytes("cnn_step_N128", "eager")


def test_the_table() -> None:
    from compiled import cells, measure, table

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

    sides = {"tlean": Fake(1e-3, [1.0, 2.0]), "torch": Fake(4e-3, [1.0, 2.0]), "jax": Fake(2e-3, [1.0, 2.5])}
    result = measure("row", sides, 0.01)  # type: ignore[arg-type]
    assert result["ratio"] == {"tlean": 1.0, "torch": 0.25}
    assert result["failed"] == {"jax": "it computed something else"} and result["turns"] >= 7
    assert cells(result, ["tlean", "torch", "jax"]) == ["row", "10 ms", "40 ms · 0.25", "–", "0.25"]
    assert table([result], ["tlean", "torch"])[0] == "| row | tlean | PyTorch eager · ratio | ratio to the best |"


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
