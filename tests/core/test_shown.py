"""What arrays, references, tapes, graphs, models and profiles show of themselves, in a console and in a notebook."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import tlean as tl
from tlean import nn


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
