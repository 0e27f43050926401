"""Models, layers, parameters, optimisers, trainers and data sets in other processes: pickled, copied, sent to workers."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tlean as tl
from tlean import nn
from tlean.train.history import History


def through_pickle(x: Any) -> Any:
    return pickle.loads(pickle.dumps(x))


WAYS = [through_pickle, copy.deepcopy]


def adaptive(name: str) -> Any:
    return lambda: getattr(nn, name)(2)


#: Every layer with what it is made of and the shape of an input.
LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "Activation": (lambda: nn.Activation(), ()),
    "AvgPool1d": (lambda: nn.AvgPool1d(2), (1, 2, 8)),
    "AvgPool2d": (lambda: nn.AvgPool2d(2), (1, 2, 8, 8)),
    "AvgPool3d": (lambda: nn.AvgPool3d(2), (1, 2, 4, 4, 4)),
    "BatchNorm": (lambda: nn.BatchNorm(3), (4, 3)),
    "Conv1d": (lambda: nn.Conv1d(2, 3, 3), (1, 2, 8)),
    "Conv2d": (lambda: nn.Conv2d(2, 3, 3, padding=1, weight_init=nn.init.kaiming_normal()), (1, 2, 8, 8)),
    "Conv3d": (lambda: nn.Conv3d(1, 2, 2, bias_init=nn.init.normal()), (1, 1, 4, 4, 4)),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(2, 3, 3), (1, 2, 8)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(2, 3, 3, 2, output_padding=1), (1, 2, 4, 4)),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(1, 2, 2), (1, 1, 3, 3, 3)),
    "Dropout": (lambda: nn.Dropout(0.3), (4, 3)),
    "ELU": (lambda: nn.ELU(0.5), (4, 3)),
    "Embedding": (lambda: nn.Embedding(5, 3), (4,)),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(5, 3), (2, 2)),
    "Flatten": (lambda: nn.Flatten(), (4, 3, 2)),
    "Function": (lambda: nn.Function(doubled), (4, 3)),
    "GELU": (lambda: nn.GELU("none"), (4, 3)),
    "GRU": (lambda: nn.GRU(2, 3), (1, 4, 2)),
    "GRUCell": (lambda: nn.GRUCell(2, 3), (4, 2)),
    "GlobalAvgPool": (lambda: nn.GlobalAvgPool(1), (2, 3, 4)),
    "GlobalMaxPool": (lambda: nn.GlobalMaxPool(1), (2, 3, 4)),
    "LSTM": (lambda: nn.LSTM(2, 3, last=True, layers=2, bidirectional=True), (1, 4, 2)),
    "LSTMCell": (lambda: nn.LSTMCell(2, 3), (4, 2)),
    "LayerNorm": (lambda: nn.LayerNorm(3), (4, 3)),
    "LeakyReLU": (lambda: nn.LeakyReLU(), (4, 3)),
    "Linear": (lambda: nn.Linear(3, 2, weight_init=nn.init.xavier_uniform(), bias_init=nn.init.constant(0.5)), (4, 3)),
    "LogSoftmax": (lambda: nn.LogSoftmax(), (4, 3)),
    "LPPool1d": (lambda: nn.LPPool1d(2.0, 2), (1, 2, 8)),
    "LPPool2d": (lambda: nn.LPPool2d(2.0, 2), (1, 2, 8, 8)),
    "LPPool3d": (lambda: nn.LPPool3d(2.0, 2), (1, 2, 4, 4, 4)),
    "MaxPool1d": (lambda: nn.MaxPool1d(2), (1, 2, 8)),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), (1, 2, 8, 8)),
    "MaxPool3d": (lambda: nn.MaxPool3d(2), (1, 2, 4, 4, 4)),
    "Module": (lambda: Heads(), (4, 3)),
    "ModuleDict": (lambda: nn.ModuleDict({"a": nn.Linear(2, 2)}), ()),
    "ModuleList": (lambda: nn.ModuleList([nn.Linear(2, 2), tl.Param([1.0])]), ()),
    **{f"{name}{d}d": (adaptive(f"{name}{d}d"), (2, 3, *(4,) * d)) for name in ("AdaptiveAvgPool", "AdaptiveMaxPool") for d in (1, 2, 3)},
    "AlphaDropout": (lambda: nn.AlphaDropout(0.25), (4, 3)),
    "ChannelShuffle": (lambda: nn.ChannelShuffle(2), (2, 4, 3)),
    "FeatureDropout": (lambda: nn.FeatureDropout(0.25), (2, 4, 3)),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(2), (2, 4, 3)),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), (2, 4, 3, 3)),
    "PixelUnshuffle": (lambda: nn.PixelUnshuffle(2), (2, 1, 4, 4)),
    "Upsample": (lambda: nn.Upsample(scale_factor=2), (2, 3, 4)),
    "MultiHeadAttention": (lambda: nn.MultiHeadAttention(4, 2), (1, 3, 4)),
    "RNN": (lambda: nn.RNN(2, 3), (1, 4, 2)),
    "RNNCell": (lambda: nn.RNNCell(2, 3), (4, 2)),
    "ReLU": (lambda: nn.ReLU(), (4, 3)),
    "Residual": (lambda: nn.Residual(nn.Linear(3, 3)), (4, 3)),
    "Sequential": (lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4), nn.Tanh(), nn.Linear(4, 2)).init(3), (4, 3)),
    "SiLU": (lambda: nn.SiLU(), (4, 3)),
    "Sigmoid": (lambda: nn.Sigmoid(), (4, 3)),
    "Softmax": (lambda: nn.Softmax(), (4, 3)),
    "Softplus": (lambda: nn.Softplus(), (4, 3)),
    "Tanh": (lambda: nn.Tanh(), (4, 3)),
}


def doubled(ops: Any, x: Any) -> Any:
    return ops.scale(x, 2.0)


class Heads(nn.Module):
    def __init__(self) -> None:
        self.trunk = nn.Linear(3, 4)
        self.heads = nn.ModuleDict({"a": nn.Linear(4, 2), "b": nn.Linear(4, 1)})
        self.scale = tl.Param([2.0])

    def forward(self, ops: Any, x: Any) -> Any:
        h = ops.tanh(self.trunk(ops, x))
        return {name: head(ops, h) for name, head in self.heads.items()} | {"h": (h, ops.mul(x, ops.broadcast_to(self.scale, x.shape)))}


def test_every_layer_is_here() -> None:
    layers = {n for n in nn.__all__ if isinstance(getattr(nn, n), type) and issubclass(getattr(nn, n), nn.Module)}
    assert layers == LAYERS.keys()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, way: Any) -> None:
    make, shape = LAYERS[name]
    layer = make()
    layer.eval()
    copied = way(layer)
    assert repr(copied) == repr(layer) and copied.training is False
    before, after = layer.state_dict(), copied.state_dict()
    assert before.keys() == after.keys() and all(before[k].tobytes() == after[k].tobytes() for k in before)
    assert [type(p) for p in copied.state()] == [type(p) for p in layer.state()]
    if shape:
        x = np.arange(4).reshape(shape) if name.startswith("Embedding") else np.random.default_rng(0).normal(size=shape).astype(np.float32)
        one, other = tl.tree.flatten(layer.predict(x)), tl.tree.flatten(copied.predict(x))
        assert one[1] == other[1] and all(a.numpy().tobytes() == b.numpy().tobytes() for a, b in zip(one[0], other[0], strict=True))
    # Independent, and the rules of first values came along.
    for p in copied.parameters():
        p.set(np.zeros(p.shape))
    assert all(np.array_equal(before[k], v) for k, v in layer.state_dict().items())
    first, second = layer.init(5).state_dict(), copied.init(5).state_dict()
    own = set() if name in ("Module", "ModuleList") else first.keys()
    assert all(np.array_equal(first[k], second[k]) for k in own)


@pytest.mark.parametrize("way", WAYS)
def test_parameters(way: Any) -> None:
    class_attributes = tl.Param(np.ones(2, "f8"), "w", False)
    p = way(class_attributes)
    assert (p.name, p.requires_grad, p.dtype, p.get().tolist()) == ("w", False, "float64", [1, 1])
    b = way(nn.Buffer([1.0, 2.0], "mean"))
    assert type(b) is nn.Buffer and (b.name, b.requires_grad, b.get().tolist()) == ("mean", False, [1, 2])
    m = way(Marked(3))
    assert type(m) is Marked and m.mark == 3 and m.get().tolist() == [3.0]
    shared = tl.Param([1.0])
    one, other = way((shared, [shared]))
    assert one is other[0] and one is not shared


class Marked(tl.Param):
    """A subclass with more arguments and attributes."""

    def __init__(self, mark: int) -> None:
        super().__init__([float(mark)])
        self.mark = mark


def test_shared_parameters_stay_shared() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    copied = through_pickle(model)
    assert copied[1].weight is copied[0].weight and len(copied.parameters()) == 3


def square_loss(ops: Any, w: Any, x: Any) -> Any:
    return ops.mean(ops.square(ops.dropout(ops.linear(w, None, x), 0.2)))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_a_run_goes_on_in_a_copy(backend: str, way: Any) -> None:
    x = np.random.default_rng(1).normal(size=(4, 3))
    trainer = tl.ScalarTrainer(tl.Options(backend=backend, seed=4), [np.ones((2, 3))], [(4, 3)], square_loss)
    opt = tl.optim.Adam(trainer.params, lr=0.1)
    schedule = tl.optim.StepLR(opt, 2)
    ema = tl.optim.ExponentialMovingAverage(trainer.params, 0.9)

    def steps(run: Any) -> list[Any]:
        trainer, opt, schedule, ema = run
        for _ in range(3):
            trainer.optim_step(opt, x)
            trainer.adam_step(0.1, 0.9, 0.999, 1e-8, x)
            schedule.step()
            ema.update()
        return [trainer.get_params()[0].tolist(), ema.get()[0].tolist(), opt.lr, trainer.params[0].name]

    steps((trainer, opt, schedule, ema))
    copied = way((trainer, opt, schedule, ema))
    assert copied[1].params[0] is copied[0].params[0] and copied[2].optimizer is copied[1]
    assert steps(copied) == steps((trainer, opt, schedule, ema))


@pytest.mark.parametrize("way", WAYS)
def test_models_with_trainer_and_optimizer(way: Any) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4), nn.Linear(4, 2)).init(0)
    data = (np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32), np.arange(8) % 2)
    trainer = tl.ScalarTrainer(tl.Options(), model.state(), [(8, 3), tl.Spec((8,), "int64")], model.program("cross_entropy"))
    opt = tl.optim.SGD(model.parameters(), lr=0.1)
    copied, again, by = way((model, trainer, opt))
    again.optim_step(by, *data)
    copied.set_buffers(again.aux["buffers"])
    trainer.optim_step(opt, *data)
    model.set_buffers(trainer.aux["buffers"])
    one, other = model.state_dict(), copied.state_dict()
    assert all(np.array_equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("way", WAYS)
def test_data(way: Any) -> None:
    data = tl.data.Dataset(np.arange(6.0), np.arange(6))
    loader = tl.data.DataLoader(data, 2, shuffle=True, seed=3, transform=tl.data.augment.Augment())
    next(iter(loader))
    copied = way(loader)
    assert copied.state_dict() == loader.state_dict() and [b[0].tolist() for b in copied] == [b[0].tolist() for b in loader]
    assert way(data)[2] == data[2]
    steps = tl.data.augment.Augment(*(getattr(tl.data.augment, n)(*a) for n, a in AUGMENTATIONS.items()))
    images = np.random.default_rng(0).uniform(size=(3, 2, 6, 6)).astype(np.float32)
    assert np.array_equal(way(steps)(tl.Rng(1), images)[0], steps(tl.Rng(1), images)[0])
    history = History([1.0], [{"loss": 1.0}], "done")
    assert way(history) == history


AUGMENTATIONS: dict[str, tuple[Any, ...]] = {"crop": (4, 1), "shift": (1,), "flip": (), "normalise": (0.1, 0.3)}


def test_workers_take_models(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib", reason="sends the model")
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4), nn.Linear(4, 2)).init(0)
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    expected = model.predict(x).tolist()
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(model.predict)(x) for _ in range(2))
    assert [y.tolist() for y in found] == [expected, expected]


def test_initial_values_are_what_they_were() -> None:
    # Of the rules when they were closures.
    rng = tl.Rng(7)
    rules = [
        nn.init.constant(0.5),
        nn.init.uniform(-1, 2),
        nn.init.normal(1, 2),
        nn.init.xavier_uniform(2),
        nn.init.xavier_normal(),
        nn.init.kaiming_uniform("leaky_relu", 5**0.5),
        nn.init.kaiming_normal(mode="fan_out"),
    ]
    found = [float(rule(rng, (3, 4), dtype).astype("f8").sum()) for rule in rules for dtype in ("float32", "float64")]
    assert found == INITIAL


INITIAL = [
    6.0,
    6.0,
    5.869729578495026,
    0.8998855608531736,
    7.272494427859783,
    11.29765514685025,
    -4.123995780944824,
    -4.149547317195626,
    0.19266393035650253,
    -2.376929133465453,
    -0.39666956663131714,
    0.2020273592230874,
    -1.4739414397627115,
    3.7863502577715646,
]


def test_a_pickle_is_read_by_a_fresh_process(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4)).init(0)
    (tmp_path / "m").write_bytes(pickle.dumps(model))
    program = "import pickle, sys, numpy; print(pickle.load(open(sys.argv[1], 'rb')).predict(numpy.ones((2, 3), 'f4')).tolist())"
    environment = os.environ | {"PYTHONPATH": str(Path(tl.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "m")], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == str(model.predict(np.ones((2, 3), np.float32)).tolist())
