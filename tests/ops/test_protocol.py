"""The protocol against the records: the same ops, the same parameters, the same defaults, and an entry for each in one form."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tlean as tl
from tlean.ops import all_ops, composites, registry
from tlean.ops.protocol import Ops
from tools.codegen import faces

METHODS = {n: f for n, f in inspect.getmembers(Ops, inspect.isfunction) if not n.startswith("_")}
PUBLIC = {r.name: r for r in all_ops(internal=False)}
SECTIONS = ("Args", "Returns", "Raises", "Derivative", "Source")


def parameters(function):
    return dict(inspect.signature(function).parameters)


def test_the_protocol_is_complete():
    assert set(METHODS) == set(PUBLIC) | set(registry.aliases()) | set(composites())


@pytest.mark.parametrize("name", sorted(METHODS))
def test_parameters(name):
    own = parameters(METHODS[name])
    own.pop("self")
    label = own.pop("name")
    assert label.kind is label.KEYWORD_ONLY
    assert label.default is None
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in own.values())
    target = registry.aliases().get(name, name)
    if target in composites():
        theirs = parameters(composites()[target])
        theirs.pop(next(iter(theirs)))
        theirs.pop("name", None)
        assert list(own) == list(theirs)
        assert {n: p.default for n, p in own.items()} == {n: p.default for n, p in theirs.items()}
        return
    record = PUBLIC[target]
    rule = parameters(record.rules.options or record.rules.shape)
    options = {n: p for n, p in rule.items() if p.kind is p.KEYWORD_ONLY}
    assert set(own) == set(record.inputs) | (set(options) or set(record.options_names))
    assert [n for n in own if n in record.inputs] == list(record.inputs)
    for n, p in options.items():
        assert own[n].default == p.default
    for n in record.inputs:
        assert (own[n].default is None) <= (n in record.optional or record.random)


@pytest.mark.parametrize("name", sorted(set(METHODS) - set(registry.aliases())))
def test_entries(name):
    """One sentence, then the sections in order; every argument is described."""
    text = inspect.getdoc(METHODS[name])
    assert re.match(r"[^\n]+\.$", text.splitlines()[0])
    found = re.findall(rf"^({'|'.join(SECTIONS)}):", text, re.M)
    assert found == [s for s in SECTIONS if s in found]
    assert found[:2] == ["Args", "Returns"]
    described = {n for names in re.findall(r"^    ([a-z_0-9, ]+):", text, re.M) for n in names.split(", ")}
    assert described == set(parameters(METHODS[name])) - {"self", "name"}


@pytest.mark.parametrize("name", sorted(set(METHODS) & set(registry.aliases())))
def test_aliases(name):
    target = registry.aliases()[name]
    assert inspect.getdoc(METHODS[name]) == f"Alias of `{target}`." or target in inspect.getdoc(METHODS[name])
    assert list(parameters(METHODS[name])) == list(parameters(METHODS[target]))


MISMATCHES = {
    "an entry without a record": ("def nothing_like_it(self, x, *, name=None): ...", "got one alone for nothing_like_it"),
    "another input": ("def relu(self, z, *, name=None): ...", "relu: .* the same arguments"),
    "an option too many": ("def softmax(self, x, axis=-1, width=1, *, name=None): ...", "softmax: .* the same arguments"),
    "another default": ("def softmax(self, x, axis=0, *, name=None): ...", "softmax: .* the same defaults"),
}


@pytest.mark.parametrize("case", MISMATCHES)
def test_a_mismatch_fails_the_build(case, monkeypatch):
    entry, error = MISMATCHES[case]
    names: dict = {}
    exec(entry, names)
    name = next(n for n in names if n != "__builtins__")
    monkeypatch.setattr(Ops, name, names[name], raising=False)
    with pytest.raises(TypeError, match=error):
        faces.files()


def test_a_record_without_an_entry_fails_the_build(monkeypatch):
    monkeypatch.delattr(next(c for c in Ops.__mro__ if "softmax" in vars(c)), "softmax")
    with pytest.raises(TypeError, match="got one alone for softmax"):
        faces.files()


def test_the_tables_are_up_to_date(tmp_path):
    # In a separate process: other tests declare ops, too.
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-m", "tools.tables", str(tmp_path)], cwd=root, check=True)
    for table in tmp_path.iterdir():
        assert (root / "docs" / table.name).read_text() == table.read_text(), "run: make docs"


COMPOSITE_CALLS = {
    "nll_loss": ([[-1.0, -2.0], [-0.5, -1.0]], [0, 1], [1.0, 3.0]),
    "einsum": ("ij,jk->ik", [[1.0, 2.0]], [[3.0], [4.0]]),
    "global_avg_pool2d_chw": ([[[1.0, 2.0]]],),
    "global_avg_pool2d_nchw": ([[[[1.0, 2.0]]]],),
    **dict.fromkeys(("glu", "hardtanh", "relu6"), ([[0.5, 0.0]],)),
    "l1_loss": ([1.0, 2.0], [3.0, 5.0]),
    "huber_loss": ([1.0, 2.0], [3.0, 5.0]),
    "batch_stats": ([[1.0, 2.0], [3.0, 4.0]],),
    "take_along_axis": ([[1.0, 2.0]], [[1, 0]]),
    "put_along_axis": ([[1.0, 2.0]], [[1]], [[3.0]]),
    "gather_nd": ([[1.0, 2.0]], [[0, 1]]),
    "scatter_nd": ([1.0, 2.0], [[0, 1], [0, 0]], [1, 2]),
    **{f"segment_{kind}": ([[1.0], [2.0]], [1, 1], 2) for kind in ("sum", "mean", "max", "min")},
    "dynamic_slice": ([1.0, 2.0], [1], [1]),
    "dynamic_update_slice": ([1.0, 2.0], [3.0], [1]),
}


def values(made):
    """A result as nested lists."""
    if isinstance(made, tuple):
        return [values(m) for m in made]
    return np.asarray(getattr(made, "value", getattr(made, "primal", made))).tolist()


@pytest.mark.parametrize("name", sorted(composites()))
def test_composites_take_nested_lists(name):
    """Nested lists of numbers are arrays to a composite, as they are to an op."""
    arguments = COMPOSITE_CALLS[name]
    expected = values(getattr(tl, name)(*[a if isinstance(a, str) else np.array(a) for a in arguments]))
    assert values(getattr(tl, name)(*arguments)) == expected
    compiled = tl.jit(lambda ops: getattr(ops, name)(*arguments))()
    assert values(compiled) == expected
    dual = getattr(tl.backends.Dual(tl.Session()), name)(*arguments)
    assert values(tuple(d.primal for d in dual) if isinstance(dual, tuple) else dual.primal) == expected


def test_what_is_no_array_is_reported_with_op_and_argument():
    for run in (lambda f: f(tl.Session()), lambda f: tl.jit(f)()):
        with pytest.raises(tl.DTypeError, match="matmul: b: "):
            run(lambda ops: ops.matmul([[1.0]], [["a"]]))
