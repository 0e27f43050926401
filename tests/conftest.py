"""What every test file shares: the marker of the tests that compare with PyTorch."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the files that compare with PyTorch throughout, so that `-m torch` runs every such test."""
    for item in items:
        if item.path.stem.endswith("_torch"):
            item.add_marker(pytest.mark.torch)
