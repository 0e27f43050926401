"""PyTorch's operator database: of every entry that has a counterpart, a few samples that are drawn.

`python -m tests.parity --all` runs all of them.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="parity with PyTorch is checked where PyTorch is installed")
pytest.importorskip("expecttest", reason="PyTorch's operator database needs the package expecttest")

from tests.parity.adapters import ADAPTERS
from tests.parity.compare import _close, _same
from tests.parity.job import run
from tests.parity.reasons import reason
from tests.parity.samples import Mismatch, entries


def test_samples_that_are_drawn():
    failures = {o.name: o.failures for o in run(seed=0) if o.failures}
    assert not failures


def test_each_entry_has_a_counterpart_or_a_reason():
    names = entries()
    assert not set(ADAPTERS) - set(names)
    for name in names:
        assert name in ADAPTERS or reason(name)
    text = (Path(__file__).parents[2] / "docs/pytorch_ops.md").read_text()
    agree, _, rest = text.partition("## Without one")
    listed = [re.findall(r"^\| `([^`]+)` \|", part, re.M) for part in (agree, rest)]
    assert sorted(listed[0] + listed[1]) == sorted(names), "run: python -m tests.parity --all --write docs/pytorch_ops.md"
    assert set(listed[0]) <= set(ADAPTERS)


def test_a_wrong_answer_is_found():
    good = np.array([1.0, np.nan, np.inf])
    _close("value", good.copy(), good, 1e-10)
    for wrong in (good + 1e-9, np.array([1.0, 0.0, np.inf]), np.array([1.0, np.nan, 1e300]), good[:2], np.ones(3, int)):
        with pytest.raises(Mismatch), np.errstate(all="ignore"):
            _close("value", wrong, good, 1e-10)
    with pytest.raises(Mismatch):
        _same("value", np.array([0.0]), np.array([-0.0]))
