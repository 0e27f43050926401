"""How tapes are shown: lines, Graphviz text, drawings."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import tlean as tl
from tlean.tape.drawing import draw
from tlean.tape.show import gradient_norms, nodes, to_dot

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
    assert lines[1].startswith('0  x "<&>" = leaf') and lines[1].endswith("(3, 2) float32  0 … 5")
    assert lines[3].endswith("(4,) float32    [0, 0, 0, 0]  (no gradient)")
    assert lines[4].split()[:4] == ["3", "linear(1,", "2,", "0)"]
    assert "cross_entropy(3, ·, ·, label_smoothing=0.0" in lines[5] and lines[5].endswith("() float32      1.386")
    assert repr(tl.Tape()) == "Tape of 0 nodes, float32\n"


def test_values_in_few_characters() -> None:
    tape, _ = tl.Tape().leaf(np.zeros((0, 3)))
    tape, _ = tape.leaf(-2.5)
    tape, _ = tape.leaf([1.0, float("nan"), float("inf")])
    tape, _ = tape.leaf([1.0, float("nan"), -3.5, float("inf"), float("-inf")])
    tape, _ = tape.leaf([float("nan")] * 5)
    lines = repr(tape).splitlines()[1:]
    assert [line.split("float32")[1].strip() for line in lines] == ["empty", "-2.5", "[1, nan, inf]", "-3.5 … 1, 1 NaN, 2 inf", "5 NaN"]


def test_names_and_flags_of_nodes() -> None:
    m = tl.TapeM(dtype="float64")
    y = m.relu(m.leaf([-1.0, 2.0]), name="hidden")
    m.argmax(y)
    lines = repr(m.tape).splitlines()
    assert lines[2].startswith("1  hidden = relu(0) ") and "(2,) float64  [0, 2]" in lines[2]
    assert "int64" in lines[3] and lines[3].endswith("1  (no gradient)")


def test_dot() -> None:
    m, loss = network()
    text = m.tape.to_dot()
    assert text.startswith("digraph tape {") and text.endswith("}")
    assert 'n0 [label="0  x \\"<&>\\"\\n(3, 2)\\n0 … 5"' in text
    assert sum("dashed" in line for line in text.splitlines()) == 1
    assert all(edge in text for edge in ("n0 -> n3;", "n1 -> n3;", "n2 -> n3;", "n3 -> n4;"))
    assert to_dot(m.tape, m.backward_scalar(loss)).count("|g|") == 4


def test_dot_escapes_what_graphviz_would_read() -> None:
    tape, _ = tl.Tape().leaf(0.0, name='a\\N "b"\nc')
    (line,) = [line for line in tape.to_dot().splitlines() if line.startswith("  n0")]
    assert 'label="0  a\\\\N \\"b\\" c\\n()\\n0"' in line


def drawing(m: tl.TapeM, grads: object = None) -> str:
    return draw(list(nodes(m.tape)), gradient_norms(grads, m.tape.size))


def test_drawing() -> None:
    m, loss = network()
    root = ET.fromstring(drawing(m, m.backward_scalar(loss)))
    boxes = [r for r in root.iter(f"{SVG}rect") if r.get("rx")]
    assert len(boxes) == 5 and sum(r.get("stroke-dasharray") is not None for r in boxes) == 1
    assert len([p for p in root.iter(f"{SVG}path") if p.get("marker-end")]) == 4
    texts = ["".join(t.itertext()) for t in root.iter(f"{SVG}text")]
    # The constant takes no gradient, every other node shows its gradient's norm.
    assert sum("|g|" in t for t in texts) == 4 and '0  x "<&>"' in texts


def chain(blocks: int) -> tl.TapeM:
    # Blocks with a way around each, and one leaf that all of them use.
    m = tl.TapeM()
    x, w = m.leaf(np.ones((2, 2)), name="x"), m.leaf(np.ones((2, 2)), name="w")
    for k in range(blocks):
        scale = m.leaf(np.ones((2, 2)), name=f"scale{k}")
        x = m.add(m.mul(m.tanh(m.matmul(w, x)), scale), x)
    return m


def test_boxes_keep_apart_and_edges_pass_beside_them() -> None:
    m = chain(12)
    assert m.tape.size == 62
    root = ET.fromstring(drawing(m))
    boxes = [tuple(float(r.get(key, "nan")) for key in ("x", "y", "width", "height")) for r in root.iter(f"{SVG}rect") if r.get("rx")]
    wide, tall = float(root.get("width", 0)), float(root.get("height", 0))
    for x, y, w, h in boxes:
        assert 0 <= x <= wide - w and 0 <= y <= tall - h
    for k, (x, y, w, h) in enumerate(boxes):
        assert all(abs(x - x2) >= w or abs(y - y2) >= h for x2, y2, _, _ in boxes[k + 1 :])
    # Where an edge passes a row it does so straight down; no box is there.
    straight = 0
    for path in root.iter(f"{SVG}path"):
        for at, start, end in re.findall(r" (\d+) (\d+)V(\d+)", path.get("d", "")):
            straight += 1
            assert all(not (x < float(at) < x + w and y < float(end) and float(start) < y + h) for x, y, w, h in boxes)
    assert straight > 12
    assert len(drawing(chain(100))) < 400_000


def test_show_writes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    m, _ = network()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    text = m.tape.show(tmp_path / "tape.svg")
    assert (tmp_path / "tape.svg").read_text(encoding="utf-8") == text == drawing(m)


def test_graphviz_is_used_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "dot"
    program.write_text('#!/bin/sh\necho "<svg>$1"; cat; echo "</svg>"\n')
    program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(program))
    m, _ = network()
    assert m.tape.show() == f"<svg>-Tsvg\n{m.tape.to_dot()}</svg>\n"
    program.write_text("#!/bin/sh\nexit 1\n")
    assert m.tape.show() == drawing(m)


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz")
def test_graphviz_reads_what_is_written() -> None:
    m, loss = network()
    root = ET.fromstring(m.tape.show(grads=m.backward_scalar(loss)))
    assert '0  x "<&>"' in [(t.text or "").replace("\xa0", " ") for t in root.iter(f"{SVG}text")]
    assert len([g for g in root.iter(f"{SVG}g") if g.get("class") == "edge"]) == 4


def test_drawing_nothing() -> None:
    ET.fromstring(drawing(tl.TapeM()))
    ET.fromstring(tl.Tape().show())


def test_names_that_xml_cannot_write() -> None:
    m = tl.TapeM()
    m.leaf(0.0, name="bell\x07 ]]> €")
    assert "0  bell� ]]> €" in ["".join(t.itertext()) for t in ET.fromstring(drawing(m)).iter(f"{SVG}text")]
