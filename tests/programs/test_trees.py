"""Trees of every kind: flattened, put together in the same types, and as arguments and results of programs."""

from __future__ import annotations

import collections
import copy
import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pytest

import tlean as tl

X = np.array([1.0, 2.0, 3.0])


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclasses.dataclass
class Layer:
    weight: Any
    bias: Any = None
    name: str = dataclasses.field(default="layer", metadata={"static": True})


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    inner: Any
    made: Any = dataclasses.field(init=False, default=None)

    def __post_init__(self):
        raise AssertionError("not run where a tree is put together")


@dataclasses.dataclass
class Described:
    shape: tuple
    dtype: str


class Registered:
    def __init__(self, *parts, tag="a"):
        self.parts, self.tag = parts, tag


class Derived(Registered):
    pass


class Words(dict):
    pass


tl.tree.register(Registered, lambda r: (r.parts, r.tag), lambda tag, parts: Registered(*parts, tag=tag))


def frozen(inner):
    node = object.__new__(Frozen)
    object.__setattr__(node, "inner", inner)
    object.__setattr__(node, "made", None)
    return node


TREES = {
    "leaf": (1.0, "*"),
    "none": (None, "None"),
    "list": ([1.0, [2.0], []], "[*, [*], []]"),
    "tuple": ((1.0, (2.0,), ()), "(*, (*,), ())"),
    "dict": ({"b": 1.0, "a": {2: 3.0, 1: None}}, "{'a': {1: None, 2: *}, 'b': *}"),
    "ordered": (collections.OrderedDict(b=1.0, a=2.0), "OrderedDict({'b': *, 'a': *})"),
    "default": (collections.defaultdict(list, b=1.0, a=2.0), "defaultdict({'a': *, 'b': *})"),
    "named": (Pair(1.0, [2.0, None]), "Pair(first=*, second=[*, None])"),
    "dataclass": (Layer(1.0, [2.0], "out"), "Layer(weight=*, bias=[*])"),
    "frozen": (frozen((1.0, 2.0)), "Frozen(inner=(*, *), made=None)"),
    "registered": (Registered(1.0, [2.0], tag="b"), "Registered(*, [*])"),
    "mixed": (
        [Pair(Layer(1.0), {"x": (2.0,)}), None, Registered()],
        "[Pair(first=Layer(weight=*, bias=None), second={'x': (*,)}), None, Registered()]",
    ),
}


def state(node):
    # Whatever a tree holds, with the types of its containers.
    if isinstance(node, collections.OrderedDict):
        return type(node), [(k, state(v)) for k, v in node.items()]
    if isinstance(node, dict):
        return type(node), getattr(node, "default_factory", None), {k: state(v) for k, v in node.items()}
    if isinstance(node, list | tuple):
        return type(node), [state(v) for v in node]
    if dataclasses.is_dataclass(node):
        return type(node), [state(getattr(node, f.name)) for f in dataclasses.fields(node)]
    if isinstance(node, Registered):
        return type(node), node.tag, [state(v) for v in node.parts]
    return node


@pytest.mark.parametrize("name", TREES)
def test_trees_come_back_as_they_were(name):
    node, shown = TREES[name]
    leaves, structure = tl.tree.flatten(node)
    assert all(type(x) is float for x in leaves) and tl.tree.describe(structure) == shown
    assert hash(structure) == hash(tl.tree.flatten(copy.deepcopy(node))[1]) and structure == tl.tree.flatten(copy.deepcopy(node))[1]
    for given in (leaves, tuple(leaves), iter(leaves)):
        assert state(tl.tree.unflatten(structure, given)) == state(node)
    assert tl.tree.flatten(tl.tree.map(lambda x: -x, node))[0] == [-x for x in leaves]
    for wrong, more in (([*leaves, 1.0], "more"), (leaves[:-1], "fewer")):
        if wrong != leaves:
            with pytest.raises(tl.ShapeError, match=f"there are {more} leaves"):
                tl.tree.unflatten(structure, wrong)


@pytest.mark.parametrize("backend", ["compiled", "eager"])
@pytest.mark.parametrize("name", TREES)
def test_trees_as_arguments_and_results(name, backend):
    node = tl.tree.map(lambda x: np.full(3, x), TREES[name][0])

    def loss(ops, tree, weight):
        total = ops.const(0.0)
        for k, x in enumerate(tl.tree.flatten(tree)[0]):
            total = ops.add(total, ops.scale(ops.sum(ops.mul(ops.square(x), weight)), k + 1.0))
        return total, tree

    g, aux = tl.grad(loss, has_aux=True, backend=backend)(node, X)
    kind = tl.tree.flatten(node)[1]
    assert tl.tree.flatten(g)[1] == kind and tl.tree.flatten(aux)[1] == kind and type(g) is type(aux)
    for k, (d, x) in enumerate(zip(tl.tree.flatten(g)[0], tl.tree.flatten(node)[0], strict=True)):
        np.testing.assert_array_equal(d, 2 * (k + 1) * x * X)
    # By keyword, and in a pull-back.
    assert tl.tree.flatten(tl.jit(lambda *, tree: tree)(tree=node))[1] == kind
    y, pull = tl.vjp(lambda tree: tree, node, backend=backend)
    assert tl.tree.flatten(y)[1] == kind and tl.tree.flatten(pull(node)[0])[1] == kind


def test_what_is_static_in_a_tree_is_part_of_the_program():
    f = tl.jit(lambda layer: tl.scale(layer.weight, 2.0 if layer.name == "double" else 1.0))
    for name, factor in (("double", 2.0), ("other", 1.0), ("double", 2.0)):
        np.testing.assert_array_equal(f(Layer(X, None, name)), factor * X)
    assert len(f._known) == 2
    assert tl.jit(lambda r: {"a": 1.0}[r.tag] + r.parts[0])(Registered(X)).tolist() == [2.0, 3.0, 4.0]
    with pytest.raises(tl.OptionError, match=r"tree: the static field Layer.name must be hashable, got list"):
        f(Layer(X, None, []))


def test_order_of_keys():
    a, b = collections.OrderedDict(x=1.0, y=2.0), collections.OrderedDict(y=2.0, x=1.0)
    assert tl.tree.flatten(a)[0] == [1.0, 2.0] and tl.tree.flatten(b)[0] == [2.0, 1.0]
    assert tl.tree.flatten(a)[1] != tl.tree.flatten(b)[1] != tl.tree.flatten(dict(a))[1]
    assert tl.tree.flatten(dict(a)) == tl.tree.flatten(dict(b))


def test_subclasses_and_leaves():
    assert type(tl.tree.map(abs, Words(a=1.0))) is dict
    assert tl.tree.map(abs, Derived(-1.0)).parts == (1.0,)
    spec, described = tl.Spec((3,)), Described((3,), "float32")
    for leaf in (spec, described, X, "abc", {1, 2}, Layer, Pair):
        leaves, structure = tl.tree.flatten(leaf)
        assert leaves == [leaf] or leaves[0] is leaf
        assert structure == "*"


def test_wrong_structures_and_registrations():
    for wrong in (3, "list", ("*",), (float, 1, ("*",)), ("list", 1, ("*",)), ([], 1, ("*",))):
        with pytest.raises(tl.OptionError, match="the structure must be one that flatten gave"):
            tl.tree.unflatten(wrong, [1.0])
    for call, message in (
        (lambda: tl.tree.register(3, len, len), "a type is expected, got int"),
        (lambda: tl.tree.register(Words, 3, len), "flatten must be a function"),
        (lambda: tl.tree.register(Words, len, None), "unflatten must be a function"),
        (lambda: tl.tree.register(dict, len, len), "dict must be a type that is no tree yet"),
        (lambda: tl.tree.register(Registered, len, len), "Registered must be a type that is no tree yet"),
    ):
        with pytest.raises(tl.OptionError, match=message):
            call()

    class Bad:
        result: Any = None

    tl.tree.flatten(Bad())  # met as a leaf before it is registered
    tl.tree.register(Bad, lambda b: b.result, lambda data, parts: Bad())
    bad = Bad()
    for bad.result, message in ((3, r"must return \(children, data\), got int"), (((), []), "must be hashable"), ((3, None), "children")):
        with pytest.raises((tl.OptionError, tl.ShapeError), match=message):
            tl.tree.flatten(bad)
