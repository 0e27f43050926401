"""Every eighth of ONNX's node tests through ONNX's own runner; `make onnx` runs all."""

from __future__ import annotations

import warnings

import pytest

from tools import onnx_nodes

pytest.importorskip("onnx", reason="its node tests are part of the package")


def test_node_tests_pass_or_are_refused() -> None:
    """None fails, and as many pass as the page says of all, but for chance."""
    refused: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts, failures = onnx_nodes.counted(onnx_nodes.runner(refused), refused, 8)
    assert failures == {}
    passed, total = (sum(n) for n in zip(*((c["passed"], c.total()) for c in counts.values()), strict=True))
    assert passed / total > 0.9


def test_the_page_is_that_of_this_version() -> None:
    """What the page lists as read by the library itself is."""
    import tlean as tl

    text = onnx_nodes.PAGE.read_text()
    absent = text.partition("Not read: ")[2].rstrip(".\n").split(", ")
    assert not set(absent) & set(tl.onnx.operators())
    assert int(text.partition(" runs ")[2].split()[0]) >= onnx_nodes.LEAST
