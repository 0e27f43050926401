"""What every test file shares: the marker of the tests that compare with PyTorch, the check of plans, and what lifts that of captures."""

from __future__ import annotations

import gc
import os

import pytest

# Every plan that a test makes is checked down to the numbers of its kernels, in child processes too.
os.environ.setdefault("TLEAN_CHECK_PLANS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the files that compare with PyTorch throughout, so that `-m torch` runs every such test."""
    for item in items:
        if item.path.stem.endswith("_torch"):
            item.add_marker(pytest.mark.torch)


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After each file, take what lives out of the collector's sight: tests that collect often took ten times as long late in a run."""
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()


@pytest.fixture
def without_capture_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what a call costs or does, line by line, or of how often it traces: with `TLEAN_CHECK_CAPTURE` every call does."""
    monkeypatch.delenv("TLEAN_CHECK_CAPTURE", raising=False)
