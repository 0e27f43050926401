"""Options are one option where they mean the same, by type and by bits, in every cache that finds a call again."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tlean as tl
from tlean._core.eager.instance import option_key, options_key
from tlean.compiler.graph import Graph
from tlean.compiler.passes.merge import merged
from tlean.ops import Spec, get

APART = [0, 0.0, -0.0, False, 1, 1.0, True, "1", "0.0", None, (), (0,), (0.0,), (-0.0,), (False,), ((0,),), float("nan"), float("inf")]


def test_what_differs_has_keys_that_differ():
    for a, b in itertools.combinations(APART, 2):
        assert option_key(a) != option_key(b), (a, b)
        assert options_key({"c": a}) != options_key({"c": b})
    hash(tuple(option_key(a) for a in APART))


@pytest.mark.parametrize(
    "a,b",
    [
        (np.float64(-0.0), -0.0), (np.float64(0.0), 0.0), (np.float32(0.5), 0.5), (np.int64(3), 3), (np.int32(-1), -1),
        (np.bool_(True), True), ([1, 2], (1, 2)), ((np.int64(1), [np.float32(2.0)]), (1, (2.0,))), (float("nan"), float("nan")),
    ],
)  # fmt: skip
def test_what_means_the_same_has_one_key(a, b):
    assert option_key(a) == option_key(b) and hash(option_key(a)) == hash(option_key(b))


ZEROS = [0.0, -0.0, np.float64(0.0), np.float64(-0.0), 0, np.float32(-0.0), np.int64(0), np.float16(-0.0)]


@pytest.mark.parametrize("first,second", list(itertools.permutations(ZEROS, 2)))
def test_signs_of_zero(first, second):
    """Whatever was called before: the eager cache, a recorded program and a gradient's rule."""
    signs = [bool(np.signbit(np.float64(c))) for c in (first, second)]
    s = tl.Session()
    # Shapes that no other test uses, so that no other test's calls are found.
    x = s.input(np.ones(3))
    assert [bool(np.signbit(s.scale(x, c).numpy()[0])) for c in (first, second)] == signs
    made = tl.jit(lambda o, x: [o.scale(x, first), o.scale(x, second)])(np.ones(3))
    assert [bool(np.signbit(y.numpy()[0])) for y in made] == signs
    assert [bool(np.signbit(tl.grad(lambda p, z, c=c: p.sum(p.scale(z, c)))(np.ones(3)).numpy()[0])) for c in (first, second)] == signs


def test_a_graph_and_its_merging_tell_them_apart():
    for merge in (True, False):
        graph = Graph("float64", merge)
        x = graph.arg(Spec((3,)))
        made = [graph.scale(x, c).id for c in ZEROS]
        graph.outputs = made
        whole = merged(graph)
        assert len({whole.outputs[k] for k in range(len(ZEROS))}) == 2


def test_options_are_plain_numbers_on_the_tape():
    s = tl.Session()
    x = s.input(np.ones((2, 3)))
    s.reduce_sum(x, axis=np.int64(1), keepdims=np.bool_(True))
    options, _ = get("scale").infer((Spec((2,), "float32"),), {"c": np.float32(0.5)})
    assert type(options["c"]) is float
    options, _ = get("reduce_sum").infer((Spec((2, 3), "float32"),), {"axis": (np.int64(1),), "keepdims": np.bool_(False)})
    assert all(type(v) is not np.int64 for v in np.atleast_1d(np.array(options["axis"], object)).tolist())
    assert options["keepdims"] is False
