"""What arrays, references, tapes, graphs, models and profiles show of themselves, in a console and in a notebook."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import tlean as tl
from tlean import nn
from tlean.train.history import History


def test_an_eager_reference_shows_its_value() -> None:
    m = tl.TapeM()
    x = m.leaf([[1.0, 2.0], [3.0, 4.0]])
    assert repr(x) == "<%0: [[1., 2.], [3., 4.]] (2, 2) float32>" and repr(x.sum()) == "<%1: 10. () float32>"
    assert repr(m.argmax(x)) == "<%2: [1, 1] (2,) int64>"
    long = repr(m.leaf(np.arange(10_000.0)))
    assert "\n" not in long and "9.999e+03" in long and len(long) < 80
    with tl.no_grad():
        assert repr(m.leaf([0.5])) == "<no_grad: [0.5] (1,) float32>"


def test_a_reference_from_before_reset_tape_has_no_value() -> None:
    s = tl.Session()
    x = s.input([1.0])
    s.reset_tape()
    assert repr(x) == "<%0: (1,) float32>" == repr(x)


def test_a_compiled_session_computes_nothing_to_be_shown() -> None:
    s = tl.Session(backend="compiled")
    x = s.input([1.0, 2.0])
    y = x.sum()
    assert repr(x) == "<%0: [1., 2.] (2,) float32>" and repr(y) == "<%1 = sum: () float32>"
    assert float(y) == 3.0 and repr(y) == "<%1: 3. () float32>"
    s.reset_tape()
    assert repr(y) == "<%1 = sum: () float32>"


def test_a_recorded_reference_shows_its_op() -> None:
    shown: list[str] = []

    def program(ops: Any, x: Any) -> Any:
        shown.extend([repr(x), repr(ops.exp(x)), f"{x}", x._repr_html_()])
        return ops.sum(x)

    tl.jit(program)(np.ones(2, "float32"))
    assert shown == ["<%0: (2,) float32>", "<%1 = exp: (2,) float32>", "<%0: (2,) float32>", "<pre>&lt;%0: (2,) float32&gt;</pre>"]


@pytest.mark.parametrize("make", [tl.AnyTensor, lambda a: tl.TapeM(dtype="float64").leaf(a)], ids=["array", "reference"])
def test_html_of_arrays(make: Any) -> None:
    x = ElementTree.fromstring(make(np.array([[1.5, -2.0, np.pi]] * 2))._repr_html_())
    assert [[cell.text for cell in row] for row in x.findall("tr")] == [["1.5", "-2", "3.14159"]] * 2
    assert "(2, 3) float64" in (x.findtext("caption") or "")
    for shape in ((), (3,), (2, 2, 2), (0,), (500, 2)):
        ElementTree.fromstring(make(np.ones(shape))._repr_html_())


def test_html_of_the_rest() -> None:
    m = tl.TapeM()
    m.relu(m.leaf([1.0, -1.0]))
    for picture in (m._repr_svg_(), m.tape._repr_svg_()):
        assert ElementTree.fromstring(picture).tag.endswith("svg")
    model = nn.Linear(3, 2)
    x = ElementTree.fromstring(model._repr_html_())
    assert "8 parameters" in (x.findtext("caption") or "") and "(2, 3)" in [cell.text for cell in x.iter("td")]
    program = tl.compile_scalar(lambda ops, x: ops.sum(x), [(3,)])
    assert "sum(%0)" in (ElementTree.fromstring(program.graph._repr_html_()).text or "")
    with tl.profile() as profile:
        m.exp(m.leaf([1.0]))
    assert "exp" in (ElementTree.fromstring(profile._repr_html_()).text or "")


def test_a_long_tape_is_no_picture() -> None:
    m = tl.TapeM()
    x = m.leaf([1.0])
    for _ in range(200):
        x = -x
    assert m._repr_svg_() is None


def fragment(html: str) -> ElementTree.Element:
    """HTML of several elements."""
    return ElementTree.fromstring(f"<div>{html}</div>")


def test_html_of_compiled_programs() -> None:
    step = tl.compile_scalar(lambda w, x: tl.mean(tl.square(tl.tanh(x @ w))), [(3, 2), (10, 3)])
    for shown in (step, tl.jit(lambda x: tl.tanh(x))):
        if shown is not step:
            assert fragment(shown._repr_html_()).findall("details") == []
            shown(np.ones(3, "float32"))
        graph, plan = fragment(shown._repr_html_()).findall("details/pre")
        assert "tanh(" in (graph.text or "") and "tanh" in (plan.text or "") + str(shown.graph) and "%" in (plan.text or "")
    # Printed, a plan is its instructions.
    assert str(step.plan) == str(step.plan.program) and "matmul" in str(step.plan) and len(str(step.plan).splitlines()) == len(step.plan)
    assert str(step.plan) in (ElementTree.fromstring(step.plan._repr_html_()).text or "")
    assert "mean" in (ElementTree.fromstring(step.cost()._repr_html_()).text or "")


def test_html_of_parameters() -> None:
    p = tl.Param([[1.5, 2.0]], name="a<b")
    x = ElementTree.fromstring(p._repr_html_())
    assert x.findtext("caption") == "Param a<b: (1, 2) float32" and [cell.text for cell in x.iter("td")] == ["1.5", "2"]
    listed = ElementTree.fromstring(tl.ParamList([p, tl.Param(np.zeros((2, 600)))])._repr_html_())
    assert [row.findtext("td[4]") for row in listed.findall("tr")] == [None, "2", "1,200"]
    assert "0       Linear" in (ElementTree.fromstring(nn.summary(nn.Sequential(nn.Linear(3, 2)), (1, 3))._repr_html_()).text or "")


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("epochs", [0, 1, 2, 40])
def test_a_history_is_a_line_and_a_picture(epochs: int, validation: bool) -> None:
    rows: list[dict[str, float]] = [{"epoch": k, "step": 50 * k, "loss": 1 / k} for k in range(1, epochs + 1)]
    if validation:
        rows = [row | {"val_loss": 2.0} for row in rows]
    history = History([1.0, float("nan"), *np.linspace(3, 1, 50 * epochs)], rows, "done")
    assert repr(history).startswith(f"<History: {epochs} epochs, {50 * epochs + 2} steps, done") and len(repr(history)) < 120
    x = fragment(history._repr_html_())
    lines = x.findall(".//{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 1 + (validation and epochs > 0)
    # Every point is inside the picture, and there are not too many.
    points = [[float(n) for n in p.split(",")] for line in lines for p in line.get("points", "").split()]
    assert len(points) <= 450 and all(0 <= a <= 360 and 0 <= b <= 120 for a, b in points)
    table = x.findall("table/tr")
    assert len(table) == (epochs > 0) + min(epochs, 17)
    assert History()._repr_html_().startswith("<table>")
