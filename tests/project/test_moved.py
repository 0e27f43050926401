"""Import paths of version 0.1 keep working, with a warning that names the new place."""

from __future__ import annotations

import importlib
import sys

import pytest

from tlean._moved import MOVED, RENAMED


@pytest.mark.parametrize("old", sorted(MOVED))
def test_an_old_path_imports_and_warns(old: str) -> None:
    for name in [n for n in sys.modules if n == old or n.startswith(f"{old}.")]:
        del sys.modules[name]
    parent = old.rpartition(".")[0]
    if parent in MOVED:
        with pytest.warns(DeprecationWarning):
            sys.modules.pop(parent, None)
            importlib.import_module(parent)
    with pytest.warns(DeprecationWarning, match=f"{old} has moved: import from {MOVED[old][0]}"):
        module = importlib.import_module(old)
    for home in map(importlib.import_module, MOVED[old]):
        for name in [n for n in vars(home) if not n.startswith("_")][:3]:
            assert hasattr(module, name)
    with pytest.raises(AttributeError, match="has moved to"):
        _ = module.no_such_name


@pytest.mark.parametrize(
    ("old", "name"),
    [
        ("tlean.backends.graph", "Graph"),
        ("tlean.backends.lower", "target_of"),
        ("tlean.backends.lower", "instantiate"),
        ("tlean.backends.reference", "Reference"),
        ("tlean.train.data", "DataLoader"),
        ("tlean.train.optim", "clip_by_norm"),
        ("tlean.train.update", "Descent"),
        ("tlean.train.params", "ParamList"),
        ("tlean.cuda.place", "context_of"),
    ],
)
def test_a_name_is_the_same_object(old: str, name: str) -> None:
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning):
        module = importlib.import_module(old)
    new = RENAMED.get(name, name)
    assert getattr(module, name) is next(getattr(h, new) for h in map(importlib.import_module, MOVED[old]) if hasattr(h, new))


def test_packages_that_became_of_modules() -> None:
    from tlean.session import Gradients, Session
    from tlean.tape import Node, Tape, TapeM, dense_to_dict, require_grad

    assert all((Gradients, Session, Node, Tape, TapeM, dense_to_dict, require_grad))
