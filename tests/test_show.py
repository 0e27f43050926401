"""How tapes are shown: lines, Graphviz text, drawings."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

import tlean as tl

SVG = "{http://www.w3.org/2000/svg}"


def network() -> tuple[tl.TapeM, tl.TensorRef]:
    m = tl.TapeM()
    x, w = m.leaf(np.arange(6.0).reshape(3, 2), name='x "<&>"'), m.leaf(np.ones((4, 2)), name="w")
    frozen = m.const(np.zeros(4))
    scores = m.linear(w, frozen, x)
    return m, m.cross_entropy(scores, np.array([0, 1, 2]))


def test_lines() -> None:
    m, _ = network()
    lines = repr(m.tape).splitlines()
    assert lines[0] == "Tape of 5 nodes, float32" and len(lines) == 6
    assert lines[1].startswith('0  x "<&>" = leaf') and lines[1].endswith("(3, 2)  0 … 5")
    assert lines[3].endswith("(4,)    [0, 0, 0, 0]  (no gradient)")
    assert lines[4].split()[:4] == ["3", "linear(1,", "2,", "0)"]
    assert "cross_entropy(3, ·, ·, label_smoothing=0.0" in lines[5] and lines[5].endswith("()      1.386")
    assert repr(tl.Tape()) == "Tape of 0 nodes, float32\n"


def test_values_in_few_characters() -> None:
    tape, _ = tl.Tape().leaf(np.zeros((0, 3)))
    tape, _ = tape.leaf(-2.5)
    tape, _ = tape.leaf([1.0, float("nan"), float("inf")])
    assert [line.split("  ")[-1] for line in repr(tape).splitlines()[1:]] == ["empty", "-2.5", "[1, nan, inf]"]


def test_dot() -> None:
    m, _ = network()
    text = m.tape.to_dot()
    assert text.startswith("digraph tape {") and text.endswith("}")
    assert 'n0 [label="0: x \\"<&>\\" = leaf' in text and "style=dashed" in text
    assert all(edge in text for edge in ("n0 -> n3;", "n1 -> n3;", "n2 -> n3;", "n3 -> n4;"))


def test_drawing(tmp_path: Path) -> None:
    m, loss = network()
    text = m.tape.show(tmp_path / "tape.svg", m.backward_scalar(loss))
    assert (tmp_path / "tape.svg").read_text() == text
    root = ET.fromstring(text)
    boxes = [r for r in root.iter(f"{SVG}rect") if r.get("rx")]
    assert len(boxes) == 5 and sum(r.get("stroke-dasharray") is not None for r in boxes) == 1
    assert len([p for p in root.iter(f"{SVG}path") if p.get("marker-end")]) == 4
    texts = ["".join(t.itertext()) for t in root.iter(f"{SVG}text")]
    # The constant takes no gradient, every other node shows its gradient's norm.
    assert sum("|g|" in t for t in texts) == 4
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    assert all(0 <= float(r.get("x", -1)) <= width - float(r.get("width", 0)) for r in boxes)
    assert all(0 <= float(r.get("y", -1)) <= height - float(r.get("height", 0)) for r in boxes)


def test_drawing_nothing() -> None:
    ET.fromstring(tl.Tape().show())
