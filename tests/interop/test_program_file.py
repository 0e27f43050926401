"""Programs as files: what is read back is what was saved, to the bit, and trains on; damage is an error."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tlean as tl
from tlean import nn

pytest.importorskip("safetensors", reason="programs are files of safetensors")

RNG = np.random.default_rng(0)
TABLE = np.array([2, 1, 0])
X = RNG.normal(size=(6, 3))


def rollout(x):
    def step(c, x):
        return tl.tanh(c * 0.5 + x), {"y": c[TABLE[:1]], "n": tl.argmax(c)}

    last, ys = tl.scan(step, x[0], x)
    grown = tl.while_loop(lambda c: tl.sum(c) < 50.0, lambda c: c * 2.0 + 1.0, last)
    return tl.cond(tl.sum(last) > 0, lambda a: a * 2, lambda a: -a, grown), [ys, x[..., ::-1]]


def extremes(x):
    return tl.where(x > 0, float("inf"), tl.clamp(x, float("-inf"), 0.5)), tl.sum(x, axis=(0, 1), keepdims=True)


def nested(a, b):
    return {"out": a["u"] @ b[0], "none": None}, (tl.sum(b[1]),)


CASES = {
    "loops": (rollout, (X,)),
    "infinities": (extremes, (X.astype(np.float32),)),
    "trees": (nested, ({"u": X}, [X.T, np.arange(3)])),
    "the gradient": (lambda x: tl.grad(lambda y: tl.sum(tl.scan(lambda c, z: (c * z, c), y[0], y)[1]))(x), (X,)),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_read_is_what_was_saved(name, tmp_path):
    f, args = CASES[name]
    tl.save_program(tmp_path / "f.safetensors", f, *args)
    g = tl.load_program(tmp_path / "f.safetensors")
    wanted, got = tl.tree.flatten(tl.jit(f)(*args)), tl.tree.flatten(g(*args))
    assert got[1] == wanted[1]
    for w, v in zip(wanted[0], got[0], strict=True):
        assert (v.dtype, v.shape, v.numpy().tobytes()) == (w.dtype, w.shape, w.numpy().tobytes())


def test_a_model_comes_back_with_its_parameters_and_trains(tmp_path):
    x, y = RNG.normal(size=(8, 4)).astype(np.float32), np.arange(8) % 3
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm(5), nn.Tanh(), nn.Linear(5, 3)).init(0).eval()
    tl.save_program(tmp_path / "m.safetensors", model, x)
    read = tl.load_program(tmp_path / "m.safetensors")
    assert read.named_state().keys() <= model.named_state().keys()
    assert set(read.named_parameters()) == set(model.named_parameters())
    assert read(x).numpy().tobytes() == model.predict(x).numpy().tobytes()

    def trained(m):
        trainer = tl.ScalarTrainer(tl.Options(), m.parameters(), [(8, 4), tl.Spec((8,), "int64")], lambda ops, *a: loss(m, ops, *a))
        return [trainer.step(0.1, x, y).item() for _ in range(3)]

    def loss(m, ops, *args):
        *params, x, y = args
        return ops.cross_entropy(m.apply(ops, dict(zip(m.named_parameters(), params, strict=True)), x), y)

    assert trained(read) == trained(model)
    assert read(x).numpy().tobytes() == model.predict(x).numpy().tobytes()


def test_a_program_inside_others(tmp_path):
    w = tl.Param(RNG.normal(size=3), dtype="float64")
    tl.save_program(tmp_path / "f.safetensors", lambda x: tl.sum(tl.sin(x * w)), tl.Spec((3,), "float64"))
    f = tl.load_program(tmp_path / "f.safetensors")
    direct = lambda x: tl.sum(tl.sin(x * w))  # noqa: E731
    for transform in (tl.grad, tl.hessian, tl.vmap):
        x = X if transform is tl.vmap else X[0]
        assert np.array_equal(transform(f)(x).numpy(), transform(direct)(x).numpy())
    s = tl.Session(tl.Options(dtype="float64"))
    assert np.allclose(s.backward_scalar(f(s.input(X[0])))[0].numpy(), tl.grad(direct)(X[0]).numpy(), rtol=1e-15)


def test_random_ops_draw_from_the_stream_of_the_call(tmp_path):
    tl.save_program(tmp_path / "r.safetensors", lambda x: x + tl.random.normal((3,)), tl.Spec((3,)))
    f = tl.load_program(tmp_path / "r.safetensors")
    zero = np.zeros(3, np.float32)
    assert not np.array_equal(f(zero).numpy(), f(zero).numpy())


def test_errors(tmp_path):
    path = tmp_path / "f.safetensors"
    double = tl.custom_op(lambda x: x * 2, lambda x, y, g: 2 * g)
    with pytest.raises(tl.OptionError, match="a function of this process"):
        tl.save_program(path, lambda x: double(x), tl.Spec((3,)))
    assert not path.exists()
    tl.save_program(path, lambda x: tl.exp(x), (3,))
    f = tl.load_program(path)
    with pytest.raises(tl.ShapeError, match=r"argument 0 must be \(3,\) float32, got \(4,\)"):
        f(np.zeros(4, np.float32))
    with pytest.raises(tl.ShapeError, match="the arguments must be"):
        f([np.zeros(3, np.float32)])
    tl.save(tmp_path / "c.safetensors", a=1)
    with pytest.raises(tl.DataError, match="no program of"):
        tl.load_program(tmp_path / "c.safetensors")


def test_damage_is_an_error_and_nothing_else(tmp_path):
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "f.safetensors"
    tl.save_program(path, rollout, X)
    arrays = load_file(path)
    with safe_open(path, "np") as file:
        text = file.metadata()["tlean.program"]
    rng = np.random.default_rng(1)

    def places(value, path=()):
        yield path
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for k, v in items:
            yield from places(v, (*path, k))

    every = [p for p in places(json.loads(text)) if p]
    refused = 0
    for p in [every[k] for k in rng.choice(len(every), 150, replace=False)]:
        damaged = json.loads(text)
        inside = damaged
        for k in p[:-1]:
            inside = inside[k]
        inside[p[-1]] = [None, -1, 10**9, "x", [], {}, 0.5, True][rng.integers(8)]
        save_file(arrays, path, metadata={"tlean.program": json.dumps(damaged)})
        try:
            tl.load_program(path)
        except tl.DataError:
            refused += 1
    assert refused > 100


def test_numbers_of_python_have_the_dtypes_of_the_program(tmp_path):
    path, x = tmp_path / "f.safetensors", np.arange(3.0)
    tl.save_program(path, lambda x, k, c: x[k] * k * c, x, 2, 0.1)
    f = tl.load_program(path)
    assert f(x, 2, 0.1).item() == x[2] * 2 * 0.1
    with pytest.raises(tl.ShapeError, match="argument 1 must be"):
        f(x, 2.5, 0.1)
    with pytest.raises(tl.OptionError, match="no keyword arguments, got z"):
        f(x, 2, 0.1, z=1)


@pytest.mark.parametrize("old, new", [('"reverse":false', '"reverse":null'), ('"keys":["a","b"]', '"keys":["a"]')])
def test_damage_that_only_a_call_would_meet(old, new, tmp_path):
    path = tmp_path / "f.safetensors"
    tl.save_program(path, lambda p: tl.scan(lambda c, z: (c * z, c), p["a"], p["b"]), {"a": np.ones(()), "b": np.ones(3)})
    data = path.read_bytes()
    old, new = (s.replace('"', '\\"').encode() for s in (old, new))
    assert old in data
    head = data[8 : 8 + int.from_bytes(data[:8], "little")].replace(old, new)
    path.write_bytes(len(head).to_bytes(8, "little") + head + data[8 + int.from_bytes(data[:8], "little") :])
    with pytest.raises(tl.DataError, match="damaged"):
        tl.load_program(path)
