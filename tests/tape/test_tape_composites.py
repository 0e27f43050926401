"""The explicit tape's composites: what the protocol calls a value is looked up by its id, whatever its parameter is named."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import tlean as tl
from tlean._core.eager.eager import composites as eager_composites
from tlean.ops import composites
from tlean.ops.protocol import Ops


def written(name):
    parameters = list(inspect.signature(getattr(Ops, name)).parameters.values())[1:]
    return [(p, str(p.annotation)) for p in parameters if p.name != "name"]


@pytest.mark.parametrize("name", sorted(composites()))
def test_ids_become_references(name, monkeypatch):
    """Each parameter that is a `Ref` gets the node of its id; all others come as they are."""
    tape, ids = tl.Tape(dtype="float64"), []
    for k in range(12):
        tape, i = tape.leaf(np.full((2, 3), float(k)))
        ids.append(i)
    calls, wanted = [], []
    positional, keywords = [], {}
    for p, text in written(name):
        whole = "int" in text and positional
        if p.kind is p.VAR_POSITIONAL:
            arguments = [ids.pop(), ids.pop()]
            positional += arguments
            wanted += [("id", i) for i in arguments]
            continue
        if "Sequence[Ref]" in text:
            value = [ids.pop(), ids.pop()]
            wanted.append(("ids", value))
        elif "Ref" in text and not whole:
            value = ids.pop()
            wanted.append(("id", value))
        else:
            value = object()
            wanted.append(("as it is", value))
        if p.kind is p.KEYWORD_ONLY:
            keywords[p.name] = value
        else:
            positional.append(value)

    def spy(ops, *arguments, **options):
        options.pop("name")
        calls.append((arguments, options))
        return ops.leaf(1.0)

    monkeypatch.setitem(eager_composites, name, spy)
    getattr(tape, name)(*positional, **keywords)
    ((arguments, options),) = calls
    for (kind, value), found in zip(wanted, [*arguments, *options.values()], strict=True):
        if kind == "id":
            assert found.id == value
        elif kind == "ids":
            assert [r.id for r in found] == value
        else:
            assert found is value


def test_values_are_those_of_references():
    rng = np.random.default_rng(0)
    x, y, w = np.sort(rng.random(5)), rng.random(5), rng.random(5)
    calls = {
        "trapezoid": lambda t, a, b, c: t.trapezoid(b, a),
        "interp": lambda t, a, b, c: t.interp(c, a, b),
        "lerp": lambda t, a, b, c: t.lerp(a, b, 0.25),
        "lerp by a node": lambda t, a, b, c: t.lerp(a, b, c),
        "cov": lambda t, a, b, c: t.cov(a, b),
        "polyval": lambda t, a, b, c: t.polyval(a, b),
        "constants": lambda t, a, b, c: t.interp(c, [0.0, 1.0], np.array([2.0, 3.0])),
        "diff": lambda t, a, b, c: t.diff(a, 1, -1, 0.5),
        "segments": lambda t, a, b, c: t.segment_sum(a, [0, 1, 1, 0, 1], 2),
    }
    for name, call in calls.items():
        m = tl.TapeM(dtype="float64")
        expected = call(m, m.leaf(x), m.leaf(y), m.leaf(w)).numpy()
        tape = tl.Tape(dtype="float64")
        ids = []
        for a in (x, y, w):
            tape, i = tape.leaf(a)
            ids.append(i)
        grown, made = call(tape, *ids)
        assert np.array(grown.get_value(made)).tolist() == expected.tolist(), name
