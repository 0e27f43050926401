"""The benchmark harness: it runs, its ratios are right, and its page says what was measured."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def test_rows_have_names_of_their_own() -> None:
    from rows import all_rows

    names = [row.name for row in all_rows()]
    assert len(set(names)) == len(names)


def run(program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(FOLDER / program), *arguments], capture_output=True, text=True, check=False, cwd=cwd)


@pytest.mark.parametrize("row", ["chain_100_ops_of_4", "where_64", "cross_entropy_32x10", "mlp_step_adam_N1"])
def test_a_row_is_measured(row: str, tmp_path: Path) -> None:
    files = ["--json", str(tmp_path / "out.json"), "--markdown", str(tmp_path / "out.md")]
    done = run("harness.py", "--rows", f"^{row}$", "--budget", "0.01", "--sides", "tlean", "--no-limits", *files, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "out.json").read_text())
    modes = {"mlp_step_adam_N1": ["step"], "chain_100_ops_of_4": ["forward", "recorded", "forward+backward"]}
    expected = [(mode, n) for mode in modes.get(row, ["forward", "forward+backward"]) for n in (1, 2)]
    assert [(r["mode"], r["threads"]) for r in report["results"]] == expected
    assert all(0 < r["tlean_s"] < 1 and r["pairs"] >= 7 for r in report["results"])
    assert f"| {row} |" in (tmp_path / "out.md").read_text()


@pytest.mark.torch
def test_the_libraries_are_compared(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    files = ["--json", str(tmp_path / "out.json")]
    done = run("harness.py", "--rows", "^softmax_32x10$", "--threads", "1", "--budget", "0.01", "--no-limits", *files, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for r in json.loads((tmp_path / "out.json").read_text())["results"]:
        assert 0 < r["ratio_low"] <= r["ratio"] <= r["ratio_high"] and 0 < r["kept_ratio_low"] <= r["kept_ratio_high"]


def test_part_runs_make_one_report() -> None:
    from harness import with_kept

    def result(row: str, seconds: float, threads: int = 1) -> dict[str, Any]:
        return {"row": row, "mode": "forward", "threads": threads, "tlean_s": seconds}

    before = {
        "results": [result("add_64", 1.0), result("exp_64", 1.0), result("exp_64", 1.0, 2)],
        "failed": [],
        "limits": {"1": {}, "2": {}},
    }
    report = {"results": [result("exp_64", 2.0), result("add_4", 2.0)], "failed": [], "limits": {}, "threads": [1]}
    found = with_kept(report, before)
    assert [(r["row"], r["tlean_s"]) for r in found["results"]] == [("add_4", 2.0), ("add_64", 1.0), ("exp_64", 2.0)]
    assert found["threads"] == [1] and found["limits"] == {"1": {}, "2": {}}


def test_no_row_of_that_name(tmp_path: Path) -> None:
    done = run("harness.py", "--rows", "^nothing$", cwd=tmp_path)
    assert done.returncode != 0 and "no row matches '^nothing$'" in done.stderr


def test_instruction_sets_side_by_side(tmp_path: Path) -> None:
    page = tmp_path / "sets.md"
    done = run("isa.py", "--rows", "^exp_64$", "--sides", "tlean", "--budget", "0.01", "--no-limits", "--markdown", str(page), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert page.read_text().count("| exp_64 | forward") == 2


def test_two_builds_side_by_side(tmp_path: Path) -> None:
    tree = str(FOLDER.parent)
    done = run("versions.py", tree, tree, "--rows", "^exp_64$", "--rounds", "3", "--starts", "2", "--most", "0", cwd=tmp_path)
    lines = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| exp_64 |")]
    assert [cells[1] for cells in lines] == ["forward", "forward+backward"], done.stdout + done.stderr
    # One tree twice: as fast as itself, but for what disturbs six turns.
    assert all(0.1 < float(cells[4]) < 10 for cells in lines)
    assert done.returncode == 1 and done.stderr.endswith("above 0.0: exp_64 forward, exp_64 forward+backward\n")
    assert "must be a source tree of tlean" in run("versions.py", str(tmp_path), tree, cwd=tmp_path).stderr
    (tmp_path / "tlean").mkdir()
    (tmp_path / "tlean" / "__init__.py").write_text("import no_such_module\n")
    assert "must be built" in run("versions.py", str(tmp_path), tree, cwd=tmp_path).stderr
    assert "must be a number of at least 1, but is '0'" in run("versions.py", tree, tree, "--rounds", "0", cwd=tmp_path).stderr


def test_ratios_of_builds_are_of_pairs() -> None:
    from versions import figures

    # The second start found a machine ten times slower: the pairs still say one half.
    old = [1.0, 1.1, 0.9]
    found = figures([[(2 * t, t) for t in old], [(20 * t, 10 * t) for t in old]])
    assert found["ratio"] == found["ratio_low"] == found["ratio_high"] == 0.5
    # What differs from start to start widens the interval, however many turns each has.
    found = figures([[(1.0, 0.9)] * 50, [(1.0, 1.0)] * 50, [(1.0, 1.2)] * 50])
    assert (found["ratio_low"], found["ratio"], found["ratio_high"]) == (0.9, 1.0, 1.2)


def test_ratios_are_of_pairs() -> None:
    from report.measures import time_text
    from report.summary import summary

    # The machine became ten times slower half-way: the pairs still say one half.
    ours = [1.0, 1.1, 0.9, 10.0, 11.0]
    found = summary({"tlean": ours, "torch": [2 * t for t in ours], "kept": ours})
    assert found["ratio"] == found["ratio_low"] == found["ratio_high"] == 0.5
    assert found["kept_ratio"] == 1.0 and found["tlean_s"] == 1.1 and found["pairs"] == 5
    assert "ratio" not in summary({"tlean": ours})
    assert [time_text(t) for t in (2.5, 0.0123, 4.56e-5, 7e-10)] == ["2.5 s", "12.3 ms", "45.6 µs", "0.7 ns"]


def level(name: str, capacity: float, speed: float) -> dict[str, object]:
    return {"name": name, "bytes": capacity, "read": speed, "copy": speed, "fill": speed / 2}


LIMITS = {"1": {"flops": 1e11, "levels": [level("L1", 1e4, 1e11), level("memory", 1e18, 1e10)]}}


def result(row: str, ratio: float, **more: object) -> dict[str, object]:
    found: dict[str, object] = {"row": row, "mode": "forward", "threads": 1, "pairs": 9, "tlean_s": 1e-6, "torch_s": 1e-6 / ratio}
    found |= {"ratio": ratio, "ratio_low": ratio * 0.9, "ratio_high": ratio * 1.1}
    return found | {"kept_ratio": ratio, "kept_ratio_low": ratio * 0.9, "kept_ratio_high": ratio * 1.1, **more}


def test_the_least_time_of_a_row() -> None:
    from measuring.limits import limits_of
    from rows.base import Work

    limits = limits_of(LIMITS["1"])
    assert limits.seconds(Work(1e6, 100, 100)) == pytest.approx(1e-5)
    # 4000 bytes read and written at a copy's speed, 1000 read alone; and the same far away.
    assert limits.seconds(Work(1, 5000, 4000)) == pytest.approx(9000 / 1e11)
    assert limits.seconds(Work(1, 4000, 5000)) == pytest.approx(8000 / 1e11 + 1000 / 5e10)
    assert limits.seconds(Work(1, 5e6, 4e6)) == pytest.approx(9e6 / 1e10)


def test_what_rows_ask_of_the_machine() -> None:
    from rows import all_rows
    from rows.work import work_of

    rows = {row.name: row for row in all_rows()}
    matmul = work_of(rows["matmul_64x64x64"])
    assert (matmul["forward"].flops, matmul["forward"].reads, matmul["forward"].writes) == (2 * 64**3, 2 * 4 * 64**2, 4 * 64**2)
    assert (matmul["forward+backward"].flops, matmul["forward+backward"].writes) == (6 * 64**3, 3 * 4 * 64**2)
    # Both gradients of a sum are the cotangent itself, and a view moves nothing.
    assert work_of(rows["add_1M"])["forward+backward"] == work_of(rows["add_1M"])["forward"]
    assert work_of(rows["flatten_8x8"])["forward"].writes == 0
    # Labels and a first layer's input take no gradient.
    assert work_of(rows["cross_entropy_32x10"])["forward+backward"].writes == 4 * 32 * 10 + 4
    assert work_of(rows["sgd_1M_fused"])["step"].reads == 2 * 4e6
    assert work_of(rows["mlp_step_sgd_N1"])["step"].writes == 4 * (784 * 256 + 256 + 2560 + 10)


@pytest.mark.skipif(shutil.which("cc") is None, reason="the probe is built by the C compiler")
def test_the_probe_measures() -> None:
    from measuring.limits import best, limits_as_json, limits_of, probe

    found = probe(2)
    assert found is not None and found.flops > 1e9
    assert [level.name for level in found.levels] == ["L1", "L2", "L3", "memory"]
    assert all(min(level.read, level.copy, level.fill) > 1e8 for level in found.levels)
    assert best(found, limits_of(limits_as_json(found))) == found


def test_own_rates_come_from_short_cuts() -> None:
    from measuring.own_rate import CACHE_BYTES, cut, lengths, own_rate
    from rows import all_rows
    from rows.base import FORWARD

    rows = {row.name: row for row in all_rows()}
    assert lengths(rows["add_64"]) is lengths(rows["attention_8x512x64"]) is lengths(rows["mlp_step_sgd_N1"]) is None
    n, shorter = lengths(rows["add_1M"])
    assert n == 1 << 20 and shorter % 64 == 0 and 2 * shorter * 3 * 4 <= CACHE_BYTES
    n, shorter = lengths(rows["layer_norm_512x768"])
    x, gamma, beta = cut(rows["layer_norm_512x768"], shorter).arrays(np.random.default_rng(0))
    assert n == 512 and x.shape == (shorter, 768) and gamma.shape == beta.shape == (768,)

    # A kernel of one second per row and three per call, whatever is asked.
    def build(row):
        return {FORWARD: lambda: len(row.arrays(np.random.default_rng(0))[0])}

    found = own_rate(build, lambda f, calls: 3.0 + f(), lambda f, seconds: 1, rows["softmax_512x512"])
    assert found == {"own_s": 512.0, "call_s": 3.0}


def test_numpy_is_compared(tmp_path: Path) -> None:
    pytest.importorskip("threadpoolctl")
    files = ["--json", str(tmp_path / "out.json"), "--markdown", str(tmp_path / "out.md")]
    sides = ["--sides", "tlean,numpy", "--threads", "1", "--budget", "0.01", "--no-limits"]
    done = run("harness.py", "--rows", "^(matmul_16x16x16|add_64)$", *sides, *files, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {
        (r["row"], "numpy_ratio" in r) for r in json.loads((tmp_path / "out.json").read_text())["results"] if r["mode"] == "forward"
    } == {
        ("matmul_16x16x16", True),
        ("add_64", False),
    }
    assert "| matmul_16x16x16 |" in (tmp_path / "out.md").read_text().partition("## Beside NumPy")[2]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks Linux which threads run")
def test_a_side_is_waited_for_until_its_threads_sleep() -> None:
    from measuring.sides import Worker

    code = "import sys, threading, time\nfor line in sys.stdin:\n    t = time.perf_counter()\n    print(flush=True)\n"
    code += "    while time.perf_counter() < t + float(line): pass\n"
    side = Worker.__new__(Worker)
    side.process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    # It answers at once and goes on for a while, as OpenMP's threads do.
    print(0.02, file=side.process.stdin, flush=True)
    side.process.stdout.readline()
    begun = time.perf_counter()
    assert side.awake()
    side.settle()
    assert not side.awake() and time.perf_counter() - begun > 0.01
    side.close()


def test_targets_and_own_rates_are_on_the_page() -> None:
    from report.beside import own_rate_table
    from report.measures import limits_in
    from report.targets import targets_table

    more = {"flops": 0.0, "reads": 5e4, "writes": 5e4, "own_s": 4e-6, "call_s": 1e-6, "tlean_s": 9e-6}
    results = [result("max_pool_k2s2_16x28_N1", 0.05), result("max_pool_k3s2_16x28_N1", 0.2), result("exp_16K", 0.3, **more)]
    results += [result("chain_100_ops_of_4", 0.1, tlean_s=30e-6)]
    report = {"threads": [1], "limits": LIMITS, "results": results}
    page = "\n".join(targets_table(report, limits_in(report)))
    assert "| max pooling: 10 times | 1 of 2 | 5.00 times | max_pool_k3s2_16x28_N1 forward |" in page
    assert "| a small op: 250 ns | 0 of 1 | 300 ns | chain_100_ops_of_4 forward |" in page
    # 100 KB at 10 GB/s take 10 µs, which is longer than the kernel's own 4 µs: more than the 8 µs that the row took beside the call.
    assert "| exp_16K | 9 µs | 1 µs | 4 µs | 10 µs | 125% |" in own_rate_table(report)
    report["results"][2]["tlean_s"] = 21e-6
    assert "| exp_16K | 21 µs | 1 µs | 4 µs | 10 µs | 50% |" in own_rate_table(report)
    assert "0 of 1 rows are at 85% or more" in "\n".join(own_rate_table(report))


def test_the_page(tmp_path: Path) -> None:
    from report.roofline import picture
    from report.summary import environment, markdown

    results = [
        result("add_64", 0.5, flops=64.0, reads=512.0, writes=256.0),
        result("sum_8x8", 2.0, flops=64.0, reads=256.0, writes=4.0),
        result("mul_64", 1.1),
    ]
    failed = [{"row": "exp_64", "error": "OSError: no"}]
    report = {"environment": environment(), "threads": [1], "limits": LIMITS, "results": results, "failed": failed}
    page = markdown(report)
    assert "| add_64 | forward | 1 µs | 2 µs | 0.50 (0.45–0.55) | 0.50 (0.45–0.55) | 0.77% |" in page
    assert (
        "1 thread: 1 of 3 rows faster than PyTorch; geometric mean of the ratios 1.03, 1.03 with its memory kept; 1 slower than 1.03"
        in page
    )
    assert "| sum_8x8 | forward | 1 | 2.00 (1.80–2.20) | 2.00 (1.80–2.20) |" in page and "| mul_64 | forward | 1 |" not in page
    assert "| elementwise | 2 | 0.74 | 0.74 | 0.77% |" in page
    assert "| 1 thread | 100 GFLOP/s | 100 / 100 / 50 | 10 / 10 / 5 |" in page
    assert "- exp_64: OSError: no" in page
    pytest.importorskip("matplotlib")
    assert picture(report, tmp_path / "a.svg") and picture(report, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "![Roofline](roofline.svg)" in markdown(report, True)
