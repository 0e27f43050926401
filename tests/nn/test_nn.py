"""Layers: every calling form gives the same, modes and buffers, names, sharing, first values, the summary, metrics."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tlean as tl
from tlean import nn
from tlean.errors import DTypeError, IndexRangeError, NodeError, OptionError, ShapeError


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def small_net() -> nn.Sequential:
    body = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm(3), nn.ReLU())
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm(3), nn.Residual(body), nn.Dropout(0.3), nn.GlobalAvgPool(), nn.Linear(3, 4)).init(
        1
    )


def attention_net() -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(6), nn.Residual(nn.MultiHeadAttention(6, 2)), nn.GELU(), nn.LSTM(6, 5, last=True)).init(2)


# One layer and one input shape for each kind.
LAYERS = [
    (nn.Linear(3, 2), (4, 3)),
    (nn.Linear(3, 2, bias=False), (3,)),
    (nn.Conv1d(2, 3, 3, stride=2, padding=1), (2, 2, 7)),
    (nn.Conv2d(2, 4, (3, 2), groups=2), (2, 2, 5, 5)),
    (nn.Conv3d(1, 2, 2), (1, 3, 3, 3)),
    (nn.ConvTranspose1d(2, 3, 3, stride=2), (2, 2, 4)),
    (nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1), (2, 2, 4, 4)),
    (nn.ConvTranspose3d(1, 2, 2, stride=2), (2, 1, 2, 2, 2)),
    (nn.MaxPool1d(2), (2, 3, 6)),
    (nn.MaxPool2d(3, stride=2, padding=1), (2, 3, 6, 6)),
    (nn.MaxPool3d(2), (2, 2, 4, 4, 4)),
    (nn.AvgPool1d(2), (2, 3, 6)),
    (nn.AvgPool2d(2), (3, 6, 6)),
    (nn.AvgPool3d(2), (2, 2, 4, 4, 4)),
    (nn.GlobalAvgPool(1), (2, 3, 5)),
    (nn.GlobalMaxPool(2), (2, 3, 4, 5)),
    (nn.LayerNorm(5), (2, 5)),
    (nn.LayerNorm(5, affine=False), (2, 5)),
    (nn.BatchNorm(3), (4, 3)),
    (nn.BatchNorm(3), (4, 3, 5)),
    (nn.BatchNorm(3), (2, 3, 4, 4)),
    (nn.MultiHeadAttention(6, 2), (2, 4, 6)),
    (nn.MultiHeadAttention(6, 2, head_size=4), (4, 6)),
    (nn.Flatten(), (2, 3, 4)),
    (nn.Function(lambda ops, x: ops.square(x)), (3,)),
    (nn.Sigmoid(), (4,)),
    (nn.Tanh(), (4,)),
    (nn.Softplus(), (4,)),
    (nn.SiLU(), (4,)),
    (nn.LeakyReLU(0.2), (4,)),
    (nn.ELU(0.7), (4,)),
    (nn.GELU("none"), (4,)),
    (nn.Softmax(), (2, 4)),
    (nn.LogSoftmax(0), (2, 4)),
    (nn.RNN(3, 4), (2, 5, 3)),
    (nn.GRU(3, 4), (2, 5, 3)),
    (nn.LSTM(3, 4), (2, 5, 3)),
    (nn.LSTM(3, 4, last=True), (2, 5, 3)),
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else str(v))
def test_a_layer_is_one_program_on_every_backend(layer: nn.Module, shape: tuple[int, ...], training: bool) -> None:
    layer.init(5).train(training)
    x, state = numbers(*shape), [np.asarray(p) for p in layer.state()]
    session = tl.Session()
    bound = layer.apply(session, [session.const(v) for v in state], session.const(x)).value.numpy()
    called = layer(session, session.const(x)).value.numpy()
    jitted = tl.jit(lambda ops, params, x: layer.apply(ops, params, x))(state, x).numpy()
    reference = tl.backends.Reference("float64")
    defined = layer.apply(reference, [reference.leaf(v) for v in state], reference.leaf(x)).value
    np.testing.assert_array_equal(bound, jitted)
    np.testing.assert_allclose(bound, defined, rtol=2e-5, atol=2e-6)
    np.testing.assert_array_equal(called, bound)
    assert np.abs(defined).max() > 0


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else str(v))
def test_summary_counts_every_layer(layer: nn.Module, shape: tuple[int, ...]) -> None:
    found = nn.summary(layer, shape)
    (row,) = found.rows
    layer.eval()
    assert row.shape == layer.predict(numbers(*shape)).shape
    assert row.parameters == found.parameters == sum(np.asarray(p).size for p in layer.parameters())
    layer.train()


@pytest.mark.parametrize("make", [small_net, attention_net])
def test_training_is_the_same_eager_and_compiled_bit_for_bit(make: Any) -> None:
    shape, target = ((4, 1, 6, 6), (4, 4)) if make is small_net else ((2, 4, 6), (2, 5))
    x, y = numbers(*shape), numbers(*target, seed=1)
    found = {}
    for backend in ("eager", "compiled"):
        model = make()
        trainer = tl.ScalarTrainer(tl.Options(backend=backend, seed=3), model.state(), [shape, target], model.program("mse_loss"))
        for _ in range(4):
            loss = trainer.adam_step(1e-2, 0.9, 0.999, 1e-8, x, y).item()
            model.set_buffers(trainer.aux["buffers"])
        found[backend] = model.state_dict() | {"loss": np.array(loss), "output": trainer.aux["output"].numpy()}
    for backend in ("eager", "compiled"):
        model, state = make(), tl.AdamState()
        s = tl.Session(tl.Options(backend=backend, seed=3))
        for _ in range(4):
            s.reset_tape()
            loss = s.mse_loss(model(s, s.input(x, requires_grad=False)), s.const(y))
            s.adam_step_all(state, 1e-2, 0.9, 0.999, 1e-8, s.backward_scalar_dense_all(loss))
        found[f"session {backend}"] = model.state_dict()
    first = found["eager"]
    assert not np.array_equal(first[next(iter(first))], make().state_dict()[next(iter(first))])
    for name, other in found.items():
        for key, value in other.items():
            np.testing.assert_array_equal(value, first[key], err_msg=f"{name}: {key}")


class TestBatchNorm:
    def test_running_statistics(self) -> None:
        layer, x, s = nn.BatchNorm(2, momentum=0.25), 3 + 2 * numbers(5, 2, 3, 3), tl.Session()
        layer(s, s.input(x))
        np.testing.assert_allclose(layer.running_mean.get().numpy(), 0.25 * x.mean((0, 2, 3)), rtol=1e-5)
        np.testing.assert_allclose(layer.running_var.get().numpy(), 0.75 + 0.25 * x.var((0, 2, 3), ddof=1), rtol=1e-5)

    def test_evaluation_uses_and_keeps_them(self) -> None:
        layer, x = nn.BatchNorm(2).eval(), numbers(5, 2)
        layer.running_mean.set([1.0, -1.0])
        layer.running_var.set([4.0, 0.25])
        s = tl.Session()
        y = layer(s, s.input(x)).value.numpy()
        np.testing.assert_allclose(y, (x - [1, -1]) / np.sqrt(np.array([4, 0.25]) + 1e-5), rtol=1e-5)
        assert layer.running_mean.get().tolist() == [1.0, -1.0]

    def test_twice_in_one_program_moves_twice(self) -> None:
        layer, x = nn.BatchNorm(1, momentum=0.5), numbers(4, 1)
        s = tl.Session()
        bound = layer.bind(s)
        layer(bound, s.const(x))
        layer(bound, s.const(x))
        np.testing.assert_allclose(bound.updates[layer.running_mean].value.numpy(), 0.75 * x.mean(0), rtol=1e-5)
        assert layer.running_mean.get().tolist() == [0.0]

    def test_one_value_per_channel(self) -> None:
        layer, s = nn.BatchNorm(2), tl.Session()
        with pytest.raises(ShapeError, match="at least 2 values"):
            layer(s, s.input(numbers(1, 2)))
        assert layer.predict(numbers(1, 2)).shape == (1, 2)

    def test_buffers_are_neither_parameters_nor_moved(self) -> None:
        layer = nn.BatchNorm(3)
        assert list(layer.named_parameters()) == ["weight", "bias"]
        assert list(layer.named_buffers()) == ["running_mean", "running_var"]
        trainer = tl.ScalarTrainer(tl.Options(), layer.state(), [(4, 3), (4, 3)], layer.program("mse_loss"))
        before = layer.state_dict()
        trainer.step(0.1, numbers(4, 3), numbers(4, 3, seed=2))
        assert np.array_equal(before["running_mean"], layer.state_dict()["running_mean"])
        assert not np.array_equal(before["bias"], layer.state_dict()["bias"])


class TestModule:
    def test_names_follow_attributes_lists_and_numbers(self) -> None:
        class Net(nn.Module):
            def __init__(self) -> None:
                self.first = nn.Linear(2, 3)
                self.rest = [nn.Linear(3, 3, bias=False), nn.Sequential(nn.ReLU(), nn.Linear(3, 1))]

        assert list(Net().named_parameters()) == ["first.weight", "first.bias", "rest.0.weight", "rest.1.1.weight", "rest.1.1.bias"]

    def test_a_shared_parameter_counts_once_and_gets_both_gradients(self) -> None:
        class Tied(nn.Module):
            def __init__(self) -> None:
                self.table = nn.Embedding(5, 3)
                self.scores = nn.Linear(3, 5, bias=False)
                self.scores.weight = self.table.weight

            def forward(self, ops: Any, i: Any) -> Any:
                return self.scores(ops, self.table(ops, i))

        model = Tied().init(0)
        assert list(model.named_parameters()) == ["table.weight"] and model.count() == 15
        assert nn.summary(model, tl.Spec((2,), "int64")).parameters == 15
        w, i = np.asarray(model.parameters()[0]), np.array([1, 4])
        g = tl.grad(lambda ops, w: ops.sum(model.apply(ops, [w], i)))(w).numpy()
        expected = np.tile(w[i].sum(0), (5, 1))
        expected[i] += w.sum(0)
        np.testing.assert_allclose(g, expected, rtol=1e-5)
        s = tl.Session()
        grads = s.backward_params(s.sum(model(s, i)))
        np.testing.assert_allclose(grads[model.table.weight].numpy(), expected, rtol=1e-5)

    def test_first_values(self) -> None:
        nn.seed(7)
        one = nn.Linear(4, 3).state_dict()
        other = nn.Linear(4, 3).state_dict()
        nn.seed(7)
        again = nn.Linear(4, 3).state_dict()
        assert np.array_equal(one["weight"], again["weight"]) and not np.array_equal(one["weight"], other["weight"])
        model = small_net()
        model.init(9)
        first = model.state_dict()
        model.init(9, weight=nn.init.constant(2.0))
        assert (model.state_dict()["5.weight"] == 2).all() and (model.state_dict()["1.running_var"] == 1).all()
        model.init(9)
        assert all(np.array_equal(v, first[k]) for k, v in model.state_dict().items())
        with pytest.raises(OptionError, match="no parameter is called wieght"):
            model.init(0, wieght=nn.init.zeros)

    def test_state_goes_out_and_in(self) -> None:
        model, other = small_net(), small_net().init(8)
        state = model.state_dict()
        other.load_state_dict(state)
        x = numbers(2, 1, 6, 6)
        assert np.array_equal(model.predict(x), other.predict(x))
        before = other.state_dict()
        with pytest.raises(OptionError, match=r"missing: 5\.weight.*unknown: extra"):
            other.load_state_dict({k: 0 * v for k, v in state.items() if k != "5.weight"} | {"extra": 1})
        with pytest.raises(ShapeError, match=r"5\.bias must have shape \(4,\), got \(3,\)"):
            other.load_state_dict({k: 0 * v for k, v in state.items()} | {"5.bias": np.zeros(3)})
        assert all(np.array_equal(v, before[k]) for k, v in other.state_dict().items())
        other.load_state_dict({"5.bias": np.ones(4)}, strict=False)
        assert other.state_dict()["5.bias"].tolist() == [1, 1, 1, 1]

    def test_modes(self) -> None:
        model, x = nn.Sequential(nn.Dropout(0.5)), np.ones(1000, np.float32)
        s = tl.Session()
        dropped = model(s, s.const(x)).value.numpy()
        assert set(np.unique(dropped)) == {0, 2} and abs((dropped == 0).mean() - 0.5) < 0.1
        model.eval()
        assert np.array_equal(model(s, s.const(x)).value, x)
        assert (model.apply(s, [], s.const(x), training=True).value.numpy() == 0).any()
        assert model.train()[0].training and np.array_equal(model.predict(x), x)

    def test_frozen_parameters_stay(self) -> None:
        model = nn.Linear(3, 2).init(0)
        model.weight.requires_grad = False
        assert model.count() == 8 and model.count(trainable=True) == 2
        s = tl.Session()
        s.sgd_step_all(0.1, s.backward_scalar_dense_all(s.sum(model(s, s.input(numbers(4, 3))))))
        fresh = nn.Linear(3, 2).init(0).state_dict()
        assert np.array_equal(model.state_dict()["weight"], fresh["weight"])
        assert not np.array_equal(model.state_dict()["bias"], fresh["bias"])

    def test_float64(self) -> None:
        model = small_net().to("float64")
        assert model.predict(numbers(2, 1, 6, 6)).dtype == "float64"
        assert all(p.dtype == "float64" for p in model.state())
        with pytest.raises(DTypeError, match="int32"):
            model.to("int32")

    def test_binding_by_name_and_by_parameters_alone(self) -> None:
        model, s, x = small_net().eval(), tl.Session(), numbers(2, 1, 6, 6)
        expected = model.predict(x).numpy()
        named = {name: s.const(p) for name, p in model.named_parameters().items()}
        assert np.array_equal(model.apply(s, named, s.const(x)).value, expected)
        assert np.array_equal(model.apply(s, [s.const(p) for p in model.parameters()], s.const(x)).value, expected)

    def test_on_an_explicit_tape_and_with_parameters_in_a_list(self) -> None:
        class Joined(nn.Module):
            def __init__(self) -> None:
                self.parts = [self.parameter((2,), nn.init.ones), self.parameter((3,), nn.init.constant(2.0))]

            def forward(self, ops: Any, x: Any) -> Any:
                return ops.mul(ops.concat(self.parts), x)

        model, m = Joined(), tl.TapeM()
        refs = [m.leaf(p) for p in model.parameters()]
        loss = m.sum(model.apply(m, refs, m.leaf(np.arange(5.0))))
        assert m.backward_scalar(loss)[refs[1].id].tolist() == [2, 3, 4]
        assert model.predict(np.ones(5)).tolist() == [1, 1, 2, 2, 2]

    def test_second_derivatives(self) -> None:
        model, x = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).init(0).to("float64"), numbers(4, 2).astype(np.float64)
        params = tuple(np.asarray(p) for p in model.parameters())
        v = tuple(np.ones_like(p) for p in params)

        def loss(ops: Any, *refs: Any) -> Any:
            return ops.mean(ops.square(model.apply(ops, refs[:4], refs[4])))

        found = tl.hvp_params(loss, params, (x,), v)
        gradient, h = tl.grad(loss, argnums=(0, 1, 2, 3)), 1e-5
        up, down = (gradient(*(p + sign * h for p in params), x) for sign in (1, -1))
        for f, a, b in zip(found, up, down, strict=True):
            np.testing.assert_allclose(f.numpy(), (a.numpy() - b.numpy()) / (2 * h), rtol=1e-6, atol=1e-8)

    def test_prediction_in_batches(self) -> None:
        model, x = small_net(), numbers(7, 1, 6, 6)
        whole = model.predict(x).numpy()
        for size in (1, 3, 7, 100):
            np.testing.assert_allclose(model.predict(x, batch_size=size).numpy(), whole, rtol=1e-5, atol=1e-6)
        with pytest.raises(OptionError, match="batch_size must be at least 1"):
            model.predict(x, batch_size=0)

    def test_mistakes(self) -> None:
        model, s = nn.Linear(3, 2), tl.Session()
        with pytest.raises(OptionError, match="first argument must be a backend"):
            model(numbers(4, 3))
        with pytest.raises(ShapeError, match=r"each of the 2 parameters \(and 0 buffers\), got 1"):
            model.bind(s, [s.const(0.0)])
        with pytest.raises(ShapeError, match=r"shape \(2, 3\), got \(2,\)"):
            model.bind(s, [s.const([0.0, 0.0])] * 2)
        with pytest.raises(OptionError, match="the model has no gamma"):
            model.bind(s, {"gamma": s.const(0.0)})
        with pytest.raises(NodeError, match="no value in this program"):
            model(g := tl.GraphM(), g.arg(0, (3,)))
        x = numbers(3)
        np.testing.assert_array_equal(tl.compile_out(lambda ops, x: model(ops, x), [(3,)])(x), model.predict(x))
        with pytest.raises(OptionError, match="layer 1 must be a Module, got function"):
            nn.Sequential(nn.ReLU(), lambda ops, x: x)
        with pytest.raises(NotImplementedError, match="Module has no forward"):
            nn.Module()(s, s.const(0.0))

    @pytest.mark.parametrize(
        ("make", "error"),
        [
            (lambda: nn.Linear(0, 2), ShapeError),
            (lambda: nn.Conv2d(3, 4, 3, groups=2), ShapeError),
            (lambda: nn.Conv2d(3, 4, (3, 3, 3)), OptionError),
            (lambda: nn.Dropout(1.0), OptionError),
            (lambda: nn.BatchNorm(2, momentum=2.0), OptionError),
            (lambda: nn.MultiHeadAttention(5, 2), ShapeError),
            (lambda: nn.Conv1d(1, 1, 2).predict(np.zeros((3, 3, 3, 3))), ShapeError),
            (lambda: nn.GlobalAvgPool(2).predict(np.zeros((3, 3))), ShapeError),
            (lambda: nn.Flatten(2).predict(np.zeros((3, 3))), ShapeError),
            (lambda: nn.LSTM(2, 3).predict(np.zeros((3, 3))), ShapeError),
            (lambda: nn.LayerNorm(2).predict(np.zeros((3, 3))), ShapeError),
            (lambda: nn.Embedding(4, 2, length=2).predict(np.array([1, 2, 3])), ShapeError),
            (lambda: nn.init.gain("sin"), OptionError),
            (lambda: nn.init.kaiming_uniform(mode="fan"), OptionError),
            (lambda: nn.init.fans((3,)), ShapeError),
        ],
    )
    def test_sizes_that_do_not_fit(self, make: Any, error: type[Exception]) -> None:
        with pytest.raises(error):
            make()

    def test_repr_shows_layers(self) -> None:
        text = repr(nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, bias=False), nn.Residual(nn.Linear(3, 3)), nn.LeakyReLU()))
        assert text == ("Sequential(0=Conv2d(1, 2, (3, 3), stride=2, bias=False), 1=Residual(body=Linear(3, 3)), 2=LeakyReLU(slope=0.01))")

    def test_embedding_of_sequences(self) -> None:
        table = nn.Embedding(5, 3, length=2).init(0)
        w = table.state_dict()["weight"]
        found = table.predict(np.array([1, 2, 4, 9])).numpy()
        np.testing.assert_array_equal(found, [[w[1], w[2]], [w[4], 0 * w[0]]])
        s = tl.Session()
        np.testing.assert_array_equal(nn.Embedding.forward(table, table.bind(s), np.array([[0, 1, 1]])).value, w[[[0, 1, 1]]])

    def test_embedding_of_batches_of_tokens(self) -> None:
        # (N, T) tokens: eagerly, compiled with tokens of the call, and trained.
        table = nn.Embedding(5, 3).init(0)
        w, tokens = table.state_dict()["weight"], np.array([[0, 4, 4], [2, 0, 9]])
        expected = np.where((tokens < 5)[..., None], w[tokens % 5], 0)
        np.testing.assert_array_equal(table.predict(tokens), expected)
        f = tl.value_and_grad(lambda ops, w, i: ops.sum(table.apply(ops, [w], i) ** 2), backend="compiled")
        value, g = f(w, tokens)
        np.testing.assert_allclose(value, (expected**2).sum(), rtol=1e-6)
        counts = np.bincount(tokens[tokens < 5], minlength=5)
        np.testing.assert_allclose(g, 2 * w * counts[:, None], rtol=1e-6)
        s = tl.Session()
        grads = s.backward_params(s.sum(s.square(table(s, tokens))))
        np.testing.assert_array_equal(grads[table.weight].numpy(), np.asarray(g))

    def test_sequential_slices_share_layers(self) -> None:
        model = small_net()
        assert len(model[:2]) == 2 and model[:2][0] is model[0] and list(model)[5] is model[5]


class TestInitialisers:
    @pytest.mark.parametrize(
        ("rule", "std"),
        [
            (nn.init.uniform(-1, 1), 1 / math.sqrt(3)),
            (nn.init.normal(0.0, 0.5), 0.5),
            (nn.init.xavier_uniform(), math.sqrt(2 / (60 * 9 + 50 * 9))),
            (nn.init.xavier_normal(2.0), 2 * math.sqrt(2 / (60 * 9 + 50 * 9))),
            (nn.init.kaiming_uniform(), math.sqrt(2 / (50 * 9))),
            (nn.init.kaiming_normal("leaky_relu", 0.5, "fan_out"), math.sqrt(2 / 1.25 / (60 * 9))),
            (nn.init.kaiming_normal("tanh"), 5 / 3 / math.sqrt(50 * 9)),
        ],
    )
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_spread(self, rule: Any, std: float, dtype: str) -> None:
        found = rule(tl.Rng(3), (60, 50, 3, 3), dtype)
        assert found.dtype == dtype and found.shape == (60, 50, 3, 3)
        assert abs(found.mean()) < 0.02 * std and abs(found.std() / std - 1) < 0.01

    def test_normal_is_normal(self) -> None:
        x = nn.init.normal(1.0, 2.0)(tl.Rng(0), (200_000,), "float64")
        z = (x - 1) / 2
        assert abs((z**3).mean()) < 0.03 and abs((z**4).mean() - 3) < 0.06 and np.isfinite(z).all()
        assert nn.init.normal()(tl.Rng(0), (), "float32").shape == ()

    def test_constants(self) -> None:
        assert nn.init.ones(tl.Rng(0), (2,), "float64").tolist() == [1, 1]
        assert nn.init.zeros(tl.Rng(0), (2,), "float32").tolist() == [0, 0]


class TestSummary:
    def test_table(self) -> None:
        found = nn.summary(small_net(), (2, 1, 6, 6))
        assert [(r.name, r.kind) for r in found.rows] == [
            ("0", "Conv2d"),
            ("1", "BatchNorm"),
            ("2.body.0", "Conv2d"),
            ("2.body.1", "BatchNorm"),
            ("2.body.2", "ReLU"),
            ("3", "Dropout"),
            ("4", "GlobalAvgPool"),
            ("5", "Linear"),
        ]
        assert found.parameters == small_net().count() == sum(r.parameters for r in found.rows) == 30 + 6 + 84 + 6 + 16
        assert found.buffers == 12
        # Two FLOPs a multiply-add, and one a bias: 2 images, 3 channels, 4×4 outputs, 9 inputs each.
        assert found.rows[0].flops == pytest.approx(2 * 3 * 16 * 2 * 9, rel=0.06)
        assert sum(r.flops for r in found.rows) <= found.flops < 1.2 * sum(r.flops for r in found.rows)
        text = str(found)
        assert "in all" in text and "(2, 3, 4, 4)" in text and len({len(line) for line in text.splitlines()[2:10]}) == 1

    def test_integer_inputs_and_names_left_alone(self) -> None:
        model = nn.Sequential(nn.Embedding(10, 4, length=3), nn.GRU(4, 2, last=True))
        found = nn.summary(model, tl.Spec((6,), "int64"))
        assert [r.shape for r in found.rows] == [(2, 3, 4), (2, 2)]


class TestMetrics:
    scores = np.array([[0.1, 0.9, 0], [3, 1, 2], [0, 0, 1], [0, 1, 0]])

    def test_accuracy(self) -> None:
        assert nn.accuracy(self.scores, [1, 0, 2, 2]) == 0.75
        assert nn.accuracy([1, 0, 2, 1], [1, 0, 2, 2]) == 0.75
        assert math.isnan(nn.accuracy(np.zeros((0, 3)), np.zeros(0, int)))
        with pytest.raises(ShapeError):
            nn.accuracy(self.scores, [1, 2])

    def test_confusion_matrix(self) -> None:
        assert nn.confusion_matrix(self.scores, [1, 0, 2, 2]).tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
        assert nn.confusion_matrix([1, 0], [1, 3]).tolist() == [[0] * 4, [0, 1, 0, 0], [0] * 4, [1, 0, 0, 0]]
        with pytest.raises(IndexRangeError, match=r"a label outside \[0, 3\)"):
            nn.confusion_matrix(self.scores, [1, 0, 2, 3])

    def test_picture(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib", reason="the picture needs matplotlib")
        path = nn.plot_confusion([[5, 1], [0, 4]], tmp_path / "c.png", ["cat", "dog"])
        assert path.read_bytes().startswith(b"\x89PNG")
        with pytest.raises(OptionError, match="a name for each row"):
            nn.plot_confusion([[5, 1], [0, 4]], tmp_path / "c.png", ["cat"])


def test_predict_refuses_a_model_of_two_dtypes():
    model = tl.nn.Sequential(tl.nn.Linear(2, 3), tl.nn.BatchNorm(3))
    for p in model.parameters():
        p.cast("float64")
    with pytest.raises(tl.DTypeError, match=r"predict: the program computes in float64, but parameter .* is float32; cast it with"):
        model.predict(np.ones((4, 2)))
