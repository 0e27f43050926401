"""The mutation tests' own machinery: the mutants that it says, in a copy of the package, noticed by tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutation.exempt import EQUIVALENT, LINES, RULES, is_exempt
from tests.mutation.job import MODULES, Job, Report, Result, draw
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.overlay import ROOT, Overlay
from tests.mutation.stages import Outcome, Stage, run_stage

SOURCE = '''"""A docstring with 1 < 2."""
from typing import Any


def f(xs: list[int], limit: "int | None" = 3) -> Any:
    """Another, with 4."""
    out = []
    for x in xs:
        if x < limit and not done(x):
            continue
        out.append(-x)
    if not out:
        raise ValueError("no number, got 5")
    return g(out, xs)


class C:
    def __repr__(self) -> str:
        return "C" + str(6)
'''


def changes(source: str) -> set[tuple[str, str, str]]:
    return {(m.operator, m.before, m.after) for m in mutants(source, "m.py")}


def test_every_operator_makes_its_mutants() -> None:
    assert changes(SOURCE) == {
        ("constant", "3", "4"),
        ("constant", "3", "(2)"),
        ("condition is true", "x < limit and not done(x)", "True"),
        ("condition is false", "x < limit and not done(x)", "False"),
        ("and/or", "x < limit and not done(x)", "(x < limit or not done(x))"),
        ("condition removed", "x < limit and not done(x)", "(not done(x))"),
        ("condition removed", "x < limit and not done(x)", "(x < limit)"),
        ("comparison", "x < limit", "(x <= limit)"),
        ("comparison", "x < limit", "(x >= limit)"),
        ("not removed", "not done(x)", "(done(x))"),
        ("statement removed", "continue", "pass"),
        ("statement removed", "out.append(-x)", "pass"),
        ("sign removed", "-x", "(x)"),
        ("condition is true", "not out", "True"),
        ("condition is false", "not out", "False"),
        ("not removed", "not out", "(out)"),
        ("arguments swapped", "g(out, xs)", "(g(xs, out))"),
        ("first argument returned", "return g(out, xs)", "return xs"),
    }


@pytest.mark.parametrize(
    ("piece", "found"),
    [
        ("a + b", {("arithmetic", "a + b", "(a - b)")}),
        ("min(a)", {("function", "min", "max")}),
        ("min(a, b)", {("function", "min", "max")}),
        ("a if b else c", {("choice", "a if b else c", "(a)"), ("choice", "a if b else c", "(c)")}),
        ("[a for a in b if a]", {("filter removed", "a", "True")}),
        ("True", {("constant", "True", "False")}),
        ("max(a, default=b)", {("function", "max", "min"), ("keyword removed", "max(a, default=b)", "(max(a))")}),
        ("a is not b", {("comparison", "a is not b", "(a is b)")}),
        ("f'{a + 1}'", set()),
        ("'text'", set()),
    ],
)
def test_an_expression(piece: str, found: set[tuple[str, str, str]]) -> None:
    assert changes(f"y = {piece}\n") == found


def test_mutants_of_the_compiler_differ_from_it_and_have_names_of_their_own() -> None:
    for file in MODULES:
        source = (ROOT / file).read_text()
        made = mutants(source, file)
        assert len({m.key for m in made}) == len(made) > 4
        original = ast.dump(ast.parse(source))
        assert all(ast.dump(ast.parse(m.source)) != original for m in made[::20])


def test_the_draw_is_seeded_and_leaves_out_what_is_exempt() -> None:
    first, total = draw(30, 5)
    again, _ = draw(30, 5)
    other, _ = draw(30, 6)
    assert [m.key for m in first] == [m.key for m in again] != [m.key for m in other]
    assert total > 2000
    every, _ = draw(total, 0)
    assert len(every) == total
    assert not any(is_exempt(m) for m in every)
    drawn = {m.file for m in every}
    assert drawn == set(MODULES)


def test_every_rule_and_every_equivalent_mutant_names_something_that_is_there() -> None:
    made = [m for file in MODULES for m in mutants((ROOT / file).read_text(), file)]
    for rule in RULES:
        assert any(is_exempt(m, (rule,)) for m in made), rule
    found = {m.key: m for m in made}
    assert set(EQUIVALENT) <= set(found)
    for key in EQUIVALENT:
        if f"{key.rpartition('::')[0]}::1" in found:
            mutant = found[key]
            assert any(LINES[key] in line for line in mutant.original.splitlines()[mutant.line - 2 : mutant.line]), key


def planted() -> Mutant:
    [mutant] = [
        m
        for m in mutants((ROOT / "tlean/compiler/memory.py").read_text(), "tlean/compiler/memory.py")
        if m.scope == "_pack" and m.before == "at + buffer.size <= other.at" and m.after == "(at + buffer.size > other.at)"
    ]
    return mutant


def test_a_planted_mutant_is_killed_and_the_package_is_not(tmp_path: Path) -> None:
    stage = Stage("memory", 10.0, ("compiler/test_plan_memory.py",))
    report = Report(tmp_path / "report.jsonl")
    mutant = planted()
    Job([stage], report, 1).run([mutant])
    assert report.results[mutant.key].stage == "memory"
    assert report.results[mutant.key].state == "failed"
    # A later call knows it.
    assert Report(tmp_path / "report.jsonl").results == report.results
    assert report.share([mutant]) == 100.0


def test_the_copy_has_the_fault_and_then_has_it_no_more(tmp_path: Path) -> None:
    overlay = Overlay(tmp_path / "copy")
    mutant = planted()
    file = overlay.folder / mutant.file
    original = file.read_text()
    overlay.put(mutant)
    assert file.read_text() == mutant.source != original
    assert (ROOT / mutant.file).read_text() == original
    overlay.restore(mutant)
    assert file.read_text() == original


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("def test(): pass", "passed"),
        ("def test(): assert False", "failed"),
        ("def test(): import os; os.abort()", "died"),
        ("def test():\n    while True: pass", "hangs"),
    ],
)
def test_what_becomes_of_a_stage(tmp_path: Path, text: str, state: str) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(text)
    outcome: Outcome = run_stage(Stage("one", 0.3 if state == "hangs" else 10.0, ("test_it.py",)), tmp_path)
    assert outcome.state == state


def test_survivors_count_against_the_share_unless_they_are_equivalent(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = [m for m in draw(50, 0)[0] if m.key not in EQUIVALENT][:3]
    report = Report(None)
    report.add(Result(first.key, 1, "quick", "failed", "", 1.0))
    report.add(Result(second.key, 1, "", "passed", "", 1.0))
    report.add(Result(third.key, 1, "", "passed", "", 1.0))
    assert report.share([first, second]) == 50.0
    monkeypatch.setitem(EQUIVALENT, second.key, "for a reason")
    assert report.share([first, second]) == 100.0
    text = report.text([first, second, third], [])
    assert "1 killed, 1 survived, 1 are equivalent" in text
    assert "for a reason" in text
