"""The examples in the docstrings of public functions and classes run, and give what they say: words exactly, numbers nearly."""

from __future__ import annotations

import doctest
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tlean as tl
from tools import site

#: Packages that examples show tlean with, and that its tests do without.
GUESTS = {"import torch": "torch", "to_torch(": "torch", "tl.onnx.": "onnx"}
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


class Nearly(doctest.OutputChecker):
    """Instruction sets and machines round in other ways."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        if NUMBER.sub("#", want).split() != NUMBER.sub("#", got).split():
            return False
        wanted, found = ([float(n) for n in NUMBER.findall(text)] for text in (want, got))
        return found == pytest.approx(wanted, rel=1e-5, abs=1e-5)


def module(name: str) -> ModuleType:
    return tl.onnx if name == "onnx" else import_module(f"tlean.{name}" if name else "tlean")


def entries(owner: ModuleType) -> Iterator[tuple[str, str]]:
    """(name, docstring) of what a module exports, and of the methods of its classes."""
    for name in site._public(owner):
        value = getattr(owner, name)
        if isinstance(value, ModuleType):
            if value.__name__ == f"{owner.__name__}.{name}" and owner is not tl:
                yield from entries(value)
        elif callable(value):
            yield f"{owner.__name__}.{name}", inspect.getdoc(value) or ""
            if isinstance(value, type) and value is not tl.Ops:
                yield from ((f"{owner.__name__}.{name}.{k}", inspect.getdoc(method) or "") for k, method in site._methods(value))


@pytest.mark.parametrize("room", [pytest.param(name, id=name or "tlean") for name in site.MODULES])
def test_examples(room: str) -> None:
    if room == "sklearn":
        pytest.importorskip("sklearn", reason="the room needs it")
    runner = doctest.DocTestRunner(checker=Nearly(), verbose=False)
    failures: list[str] = []
    for name, text in dict(entries(module(room))).items():
        guests = [package for said, package in GUESTS.items() if said in text]
        if ">>>" in text and all(find_spec(package) for package in guests):
            names: dict[str, Any] = {"tl": tl, "np": np}
            runner.run(doctest.DocTestParser().get_doctest(text, names, name, None, 0), out=failures.append)
    assert not failures, "".join(failures)


def test_a_wrong_example_is_seen() -> None:
    said: list[str] = []
    for number in ("1.4142", "1.5"):
        example = doctest.DocTestParser().get_doctest(f">>> float(np.sqrt(2.0))\n{number}\n", {"np": np}, "example", None, 0)
        doctest.DocTestRunner(checker=Nearly(), verbose=False).run(example, out=said.append)
    assert len([line for line in said if "Expected:" in line]) == 1
