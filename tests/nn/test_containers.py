"""Layers in lists and dicts: registered, or refused by name; outputs in trees; states that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tlean as tl
from tlean import nn
from tlean.errors import DTypeError, IndexRangeError, NodeError, OptionError, ShapeError

X = np.random.default_rng(0).standard_normal((16, 3)).astype("f4")
Y = (X.sum(1) > 0).astype(int)


class Net(nn.Module):
    def __init__(self, heads: Any, pick: Any) -> None:
        self.first = nn.Linear(3, 4)
        self.heads = heads
        self.pick = pick

    def forward(self, ops: Any, x: Any) -> Any:
        return self.pick(self.heads)(ops, ops.relu(self.first(ops, x)))


def head() -> nn.Linear:
    return nn.Linear(4, 2)


REGISTERED: list[tuple[Any, Any, str]] = [
    (lambda: nn.ModuleDict({"b": head()}), lambda h: h["b"], "heads.b.weight"),
    (lambda: nn.ModuleList([nn.ModuleList([head()])]), lambda h: h[0][0], "heads.0.0.weight"),
    (lambda: nn.ModuleDict({"b": nn.ModuleList([head()])}), lambda h: h["b"][0], "heads.b.0.weight"),
    (lambda: [head()], lambda h: h[0], "heads.0.weight"),
    (lambda: (head(),), lambda h: h[0], "heads.0.weight"),
]
HIDDEN: list[tuple[Any, Any, str]] = [
    (lambda: {"b": head()}, lambda h: h["b"], "heads['b'] holds a Linear"),
    (lambda: [[head()]], lambda h: h[0][0], "heads[0][0] holds a Linear"),
    (lambda: [{"b": [head()]}], lambda h: h[0]["b"][0], "heads[0]['b'][0] holds a Linear"),
    (lambda: ({"b": head()},), lambda h: h[0]["b"], "heads[0]['b'] holds a Linear"),
    (lambda: {head()}, lambda h: next(iter(h)), "heads[0] holds a Linear"),
]


@pytest.mark.parametrize("backend", ["eager", "compiled"])
@pytest.mark.parametrize(("make", "pick", "name"), REGISTERED)
def test_what_is_registered_is_trained_and_saved(make: Any, pick: Any, name: str, backend: str) -> None:
    model = Net(make(), pick)
    before = model.state_dict()
    tl.fit(model, (X, Y), "cross_entropy", lambda p: tl.optim.SGD(p, lr=0.5), verbose=False, options=tl.Options(backend=backend))
    after = model.state_dict()
    assert len(after) == 4 and not np.array_equal(before[name], after[name])
    assert not model.eval().heads[next(iter(model.heads)) if isinstance(model.heads, nn.ModuleDict) else 0].training


@pytest.mark.parametrize(("make", "pick", "said"), HIDDEN)
def test_what_would_be_lost_is_refused(make: Any, pick: Any, said: str) -> None:
    model = Net(make(), pick)
    outer = nn.Sequential(model)
    for call in (
        model.parameters,
        model.state_dict,
        model.eval,
        lambda: model.init(0),
        lambda: model.load_state_dict({}),
        lambda: model.predict(X),
        lambda: tl.fit(model, (X, Y), "cross_entropy", verbose=False),
        lambda: nn.summary(model, (1, 3)),
        outer.parameters,
    ):
        with pytest.raises(OptionError) as caught:
            call()
        assert said in str(caught.value) and "ModuleDict" in str(caught.value)


def test_what_is_registered_elsewhere_may_stand_anywhere() -> None:
    model = Net([head()], lambda h: h[0])
    model.by_name = {"head": model.heads[0], "weights": [[model.first.weight]], "loop": {}}  # type: ignore[attr-defined]
    model.by_name["loop"]["again"] = model.by_name  # type: ignore[attr-defined]
    model.numbers = {"a": [1, (2, {3})]}  # type: ignore[attr-defined]
    assert len(model.parameters()) == 4


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_a_parameter_that_no_attribute_holds(backend: str) -> None:
    loose = tl.Param(np.ones(2, "f4"))
    model = nn.Sequential(nn.Linear(3, 2), nn.Function(lambda ops, x: ops.mul(x, ops.broadcast_to(loose, x.shape))))
    before = model.state_dict()
    with pytest.raises(NodeError, match=r"which the model's state\(\) does not hold"):
        tl.fit(model, (X, Y), "cross_entropy", verbose=False, options=tl.Options(backend=backend))
    assert all(np.array_equal(before[k], v) for k, v in model.state_dict().items())


class TestContainers:
    def test_lists(self) -> None:
        layers = [nn.Linear(2, 2) for _ in range(3)]
        one = nn.ModuleList(layers[:2]).append(layers[2])
        assert list(one) == layers and len(one) == 3 and one[-1] is layers[2] and list(one[1:]) == layers[1:]
        assert sorted(one.state_dict()) == [f"{k}.{n}" for k in range(3) for n in ("bias", "weight")]
        one[0] = tl.Param([1.0])
        del one[1]
        one.insert(1, nn.ReLU())
        assert list(one.named_parameters()) == ["0", "2.weight", "2.bias"]
        for k in (7, -9):
            with pytest.raises(IndexRangeError, match="out of range for 3 entries"):
                one[k]
        for call in (
            lambda: one["a"],
            lambda: nn.ModuleList([3]),
            lambda: nn.ModuleList(3),
            lambda: nn.ModuleList(nn.ReLU()),
            lambda: one.append(None),
            lambda: one.insert("a", nn.ReLU()),
            lambda: one.__setitem__(slice(0, 1), nn.ReLU()),
            lambda: nn.Sequential(nn.ReLU())["a"],
        ):
            with pytest.raises(OptionError):
                call()
        with pytest.raises(IndexRangeError):
            nn.Sequential(nn.ReLU())[3]

    def test_dicts(self) -> None:
        one = nn.ModuleDict({"a": nn.Linear(2, 2), "b": tl.Param([1.0])})
        assert list(one) == ["a", "b"] == list(one.keys()) and "a" in one and 3 not in one and len(one) == 2
        assert list(one.named_parameters()) == ["b", "a.weight", "a.bias"] or list(one.named_parameters()) == ["a.weight", "a.bias", "b"]
        assert one.pop("b").shape == (1,) and [k for k, _ in one.items()] == ["a"] and next(iter(one.values())) is one["a"]
        del one["a"]
        one.update(nn.ModuleDict({"c": nn.ReLU()}))
        assert list(one) == ["c"]
        for name in ("a", 3, None):
            with pytest.raises(IndexRangeError, match="there is no entry"):
                one[name]  # type: ignore[index]
        for items in ({"a.b": nn.ReLU()}, {"": nn.ReLU()}, {3: nn.ReLU()}, {"a": 3}, [("a", nn.ReLU())], 3):
            with pytest.raises(OptionError):
                nn.ModuleDict(items)  # type: ignore[arg-type]


class Trees(nn.Module):
    def __init__(self) -> None:
        self.a, self.b = nn.Linear(3, 2), nn.Linear(3, 1)

    def forward(self, ops: Any, x: Any) -> Any:
        return {"scores": self.a(ops, x), "rest": (self.b(ops, x), [ops.relu(x)])}


class TestPredict:
    def test_trees(self) -> None:
        model = Trees().init(0)
        whole = model.predict(X)
        assert list(whole) == ["rest", "scores"] and isinstance(whole["rest"], tuple) and whole["scores"].shape == (16, 2)
        assert np.array_equal(whole["rest"][1][0], np.maximum(X, 0))
        for size in (1, 5, 16, 99):
            parts = model.predict(X, batch_size=size)
            for one, other in zip(tl.tree.flatten(whole)[0], tl.tree.flatten(parts)[0], strict=True):
                np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-5, atol=1e-6)
        assert tl.nn.Function(lambda ops, x: (x, ops.neg(x))).predict(X)[1].tolist() == (-X).tolist()
        assert model.predict(X[:0], batch_size=4)["scores"].shape == (0, 2)

    def test_what_cannot_be_batched(self) -> None:
        total = nn.Function(lambda ops, x: ops.sum(x))
        assert total.predict(X).shape == ()
        with pytest.raises(ShapeError, match="first axis of an output runs over the samples"):
            total.predict(X, batch_size=4)
        both = nn.Function(lambda ops, x, y: ops.add(x, y))
        for inputs in ((X, X[:3]), (np.float32(1), X), (), (np.float32(1),)):
            with pytest.raises(ShapeError, match="first axis of one length"):
                both.predict(*inputs, batch_size=4)
        for size in (0, -1, 2.5, "4", np.array([4])):
            with pytest.raises(OptionError, match="predict: batch_size must be"):
                both.predict(X, X, batch_size=size)  # type: ignore[arg-type]

    def test_inputs_that_are_no_arrays_of_numbers(self) -> None:
        layer = nn.Linear(3, 2)
        for x in (np.ma.masked_array(X, X > 0), np.array(["a"]), [[1], [1, 2]], None, np.array([2**63], np.uint64), object()):
            with pytest.raises((DTypeError, ShapeError)):
                layer.predict(x)


class TestStates:
    @pytest.mark.parametrize("state", [3, None, "weight", [1], {"weight": 1, 3: 4, None: 2}])
    def test_states_that_are_none(self, state: Any) -> None:
        with pytest.raises(OptionError, match="load_state_dict"):
            nn.Linear(1, 1).load_state_dict(state)

    def test_buffers(self) -> None:
        model = nn.BatchNorm(2)
        for values in ([], [None] * 3):
            with pytest.raises(ShapeError, match="each of the 2 buffers"):
                model.set_buffers(values)

    def test_rules_that_are_none(self) -> None:
        with pytest.raises(OptionError, match="weight must be a rule"):
            nn.Linear(1, 1).init(0, weight=3)  # type: ignore[arg-type]


class TestSizes:
    @pytest.mark.parametrize(
        "make",
        [
            lambda: nn.Linear("a", 2),
            lambda: nn.Linear(2.5, 2),
            lambda: nn.Linear(None, 2),
            lambda: nn.Conv2d(1, 2, "33"),
            lambda: nn.Conv2d(1, 2, None),
            lambda: nn.Conv2d(1, 2, (3.0, 3)),
            lambda: nn.MaxPool2d("a"),
            lambda: nn.Dropout("a"),
            lambda: nn.Dropout(np.ones(2)),
            lambda: nn.LayerNorm(3, eps="a"),
            lambda: nn.BatchNorm(3, momentum="a"),
            lambda: nn.Flatten("a"),
            lambda: nn.Function(3),
            lambda: nn.Residual(3),
            lambda: nn.init.normal("a"),
            lambda: nn.init.uniform(0, float("nan")),
            lambda: nn.init.kaiming_normal(3),
            lambda: nn.init.kaiming_normal(mode=[]),
            lambda: nn.Linear(2, 2).program("no_such_op"),
            lambda: nn.Linear(2, 2).program(3),
            lambda: nn.Linear(2, 2).program("mse_loss", inputs="a"),
        ],
    )
    def test_options(self, make: Any) -> None:
        with pytest.raises(OptionError):
            make()

    def test_shapes(self) -> None:
        for make in (lambda: nn.Conv2d(1, 2, 0), lambda: nn.Conv2d(1, 2, -3), lambda: nn.Linear(2**40, 2**40), lambda: nn.Linear(-1, 2)):
            with pytest.raises(ShapeError):
                make()
        assert nn.Conv2d(1, 2, np.int64(3)).weight.shape == (2, 1, 3, 3)
