"""Import paths of version 0.1 keep working, with a warning that names the new place."""

from __future__ import annotations

import importlib
import sys

import pytest

from tlean._moved import MOVED, RENAMED, install


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


@pytest.mark.parametrize("line", ["import tlean.show", "from tlean.backends import jit", "importlib.import_module('tlean.show')"])
def test_the_warning_is_of_the_line_that_imports(line: str) -> None:
    # Python shows a DeprecationWarning only where the program itself is the one that is warned.
    for name in ("tlean.show", "tlean.backends.jit"):
        sys.modules.pop(name, None)
        vars(importlib.import_module(name.rpartition(".")[0])).pop(name.rpartition(".")[2], None)
    with pytest.warns(DeprecationWarning) as warned:
        exec(compile(f"\n\n{line}", "the program", "exec"), {"importlib": importlib})
    assert [(w.filename, w.lineno) for w in warned] == [("the program", 3)]


def test_a_reload_answers_once() -> None:
    finders = list(sys.meta_path)
    install()
    assert sys.meta_path == finders
