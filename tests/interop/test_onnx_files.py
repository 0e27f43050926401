"""Programs as ONNX files and back: onnx's checker and onnxruntime agree, and what comes back is equal to the bit."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tlean as tl
from tlean import nn
from tlean.interop.onnx.reading.api import read

onnx = pytest.importorskip("onnx", reason="files of ONNX are read and written by its package")


class _Block(nn.Module):
    """A transformer's block on tokens."""

    def __init__(self, size: int) -> None:
        self.tokens = nn.Embedding(11, size)
        self.attention = nn.MultiHeadAttention(size, 4)
        self.norms = nn.ModuleList([nn.LayerNorm(size), nn.LayerNorm(size)])
        self.inner = nn.Sequential(nn.Linear(size, 2 * size), nn.GELU(), nn.Linear(2 * size, size))

    def forward(self, ops: Any, i: Any) -> Any:
        x = self.tokens(ops, i)
        x = x + self.attention(ops, self.norms[0](ops, x))
        return x + self.inner(ops, self.norms[1](ops, x))


def _cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(8 * 36, 10),
    )  # fmt: skip


def _data(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).normal(size=shape).astype(np.float32)


_TOKENS = np.random.default_rng(3).integers(0, 11, (3, 7))
_CASES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "convolutional": (lambda: _cnn().eval(), (_data(3, 1, 28, 28),)),
    "transformer": (lambda: _Block(16).eval(), (_TOKENS,)),
    "lstm": (lambda: nn.LSTM(5, 6).eval(), (_data(3, 7, 5),)),
    "cond": (lambda: lambda x: tl.cond(tl.sum(x) > 0, lambda: x * 2, lambda: x - 1), (_data(3),)),
    "switch": (lambda: lambda x, i: tl.switch(i, [lambda: x * 2, lambda: x - 1, lambda: tl.exp(x)]), (_data(3), np.int64(2))),
    "while": (lambda: lambda x: tl.while_loop(lambda c: tl.sum(c) < 99.0, lambda c: c * 2 + 1, x), (abs(_data(3)),)),
    "scan": (lambda: lambda x: tl.scan(lambda c, v: (c * 0.5 + v, tl.tanh(c)), np.zeros(4, np.float32), x, reverse=True), (_data(6, 4),)),
    "count": (lambda: lambda x: tl.fori_loop(0, 5, lambda i, c: c * 1.1, x), (_data(6, 4),)),
    "gradient": (lambda: tl.grad(lambda x: tl.sum(tl.gelu(x) * tl.sigmoid(x))), (_data(6, 4),)),
}


@pytest.mark.parametrize("name", _CASES)
def test_files_hold_the_program(name: str, tmp_path: Path) -> None:
    """onnxruntime agrees to 1e-5; what is read again is equal to the bit, for another batch too."""
    runtime = pytest.importorskip("onnxruntime", reason="another program that runs the files")
    make, args = _CASES[name]
    tl.seed(1)
    f = make()
    path = tmp_path / "f.onnx"
    made = tl.onnx.export(f, path, *args)
    assert made.fixed is None
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    back = tl.onnx.load(path)
    wider = [np.concatenate([x, x[:2]]) if np.ndim(x) else x for x in args]
    for given in (args, wider):
        want = [np.asarray(v) for v in tl.tree.flatten(tl.jit(f)(*given))[0]]
        found = session.run(None, dict(zip(made.inputs, map(np.asarray, given), strict=True)))
        read = [np.asarray(v) for v in tl.tree.flatten(back(*given))[0]]
        for a, b, c in zip(want, found, read, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)
            assert (a.dtype, a.shape, a.tobytes()) == (c.dtype, c.shape, c.tobytes())


_INDICES = np.array([0, 4, -1, 0, 7])


def _at_zero(f: Any) -> Any:
    return lambda x: f(x.at[np.array([0, 2, 0])])


_SINGULAR = np.array([[[1, 2, 3], [2, 4, 6], [1, 3, 9]], [[4, 2, 1], [2, 1, 3], [1, 3, 9]]], np.float32)


_ODD: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "dropped rows": (lambda x, i: tl.take(x, i, axis=0, mode="drop"), (_data(5, 3), _INDICES)),
    "filled rows": (lambda x, i: tl.take(x, i, axis=1, mode="fill"), (_data(2, 5), _INDICES)),
    "zero rows": (lambda x, i: tl.gather_vec_nat(x, i), (_data(5), _INDICES)),
    "written rows": (_at_zero(lambda rows: rows.set(2.0)), (_data(4, 3),)),
    "last of several": (lambda x, v, i: x.at[i].set(v), (_data(4, 3), _data(3, 3), np.array([1, 0, 1]))),
    "added rows": (_at_zero(lambda rows: rows.add(2.0)), (_data(4, 3),)),
    "largest rows": (_at_zero(lambda rows: rows.max(0.5)), (_data(4, 3),)),
    "box": (lambda x: x.at[1:3, ::2].set(7.0), (_data(4, 5),)),
    "embedding's gradient": (
        lambda x, i: tl.grad(lambda x: tl.sum(tl.tanh(tl.take(x, i, axis=0))))(x),
        (_data(5, 3), np.array([0, 4, 0])),
    ),
    "convolution's gradient": (
        lambda x, w: tl.grad(lambda x, w: tl.sum(tl.tanh(tl.conv2d(w, None, x, 2, 1))), (0, 1))(x, w),
        (_data(2, 2, 6, 5), _data(3, 2, 3, 3)),
    ),
    "spectrum": (lambda x: tl.fft.irfft(tl.fft.rfft(x) * np.array([1.0, 0.5, 2.0, 0.0], np.float32), n=7), (_data(2, 7),)),
    "attention": (
        lambda q, m: tl.scaled_dot_product_attention(q, q, q, m, causal=True),
        (_data(2, 4, 3), np.array([[True, False, True, True]])),
    ),
    "unfolded": (lambda x: tl.unfold(x, (2, 3), padding=1), (_data(1, 2, 4, 5),)),
    "signs of zeros": (
        lambda y, x: tl.atan2(y, x),
        (np.array([0, -0.0, 0, -0.0, 1], np.float32), np.array([0, 0, -0.0, -2, -0.0], np.float32)),
    ),
    "overflow": (lambda a, b: tl.hypot(a, b), (np.array([3e30, 0, 3], np.float32), np.array([4e30, 0, 4], np.float32))),
    "shifted bits": (lambda a: tl.bitwise_right_shift(a, np.array(2)) + tl.bitwise_left_shift(a, np.array(3)), (np.array([-9, 0, 77]),)),
    "determinants": (lambda a: (tl.linalg.det(a), *tl.linalg.slogdet(a)), (_SINGULAR,)),
    "any of none": (lambda x: tl.any(x, axis=1), (np.zeros((2, 0), bool),)),
}  # fmt: skip


@pytest.mark.parametrize("name", _ODD)
def test_ops_without_an_operator_of_their_own(name: str, tmp_path: Path) -> None:
    """Their functions mean what the ops mean in onnxruntime, and are the ops again when they are read."""
    runtime = pytest.importorskip("onnxruntime", reason="another program that runs the files")
    f, args = _ODD[name]
    path = tmp_path / "f.onnx"
    made = tl.onnx.export(f, path, *args, dynamic_batch=False)
    want = [np.asarray(v) for v in tl.tree.flatten(tl.jit(f)(*args))[0]]
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    read = [np.asarray(v) for v in tl.tree.flatten(tl.onnx.load(path)(*args))[0]]
    for a, b, c in zip(want, session.run(None, dict(zip(made.inputs, args, strict=True))), read, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)
        assert (a.dtype, a.shape, a.tobytes()) == (c.dtype, c.shape, c.tobytes())


def test_random_numbers_have_the_bits_of_a_seed(tmp_path: Path) -> None:
    """One more input has the seeds that a compiled program takes, in loops too; also where there are no operators on bits."""
    runtime = pytest.importorskip("onnxruntime", reason="another program that runs the files")
    x, path = np.ones((5, 7), np.float32), tmp_path / "f.onnx"

    def f(x: Any) -> Any:
        total, sums = tl.scan(lambda c, v: (c + tl.dropout(v, p=0.5), tl.sum(c)), np.zeros(7, np.float32), x)
        return tl.dropout(x, p=0.4), tl.dropout(x, p=0.2), total, sums

    for opset in (17, 18):
        made, compiled = tl.onnx.export(f, path, x, opset=opset), tl.jit(f, seed=3)
        assert made.inputs == ["x", "seeds"]
        session, back = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"]), tl.onnx.load(path)
        for call in range(2):
            want, seeds = [np.asarray(v) for v in compiled(x)], made.seeds(3, call)
            for a, b, c in zip(want, session.run(None, {"x": x, "seeds": seeds}), back(x, seeds), strict=True):
                assert a.tobytes() == b.tobytes() == np.asarray(c).tobytes()
    with pytest.raises(tl.OptionError, match="names seeds are taken"):
        tl.onnx.export(f, path, x, names=["seeds"])


def test_random_programs_run_in_onnxruntime(tmp_path: Path) -> None:
    """The first of the fuzzer's programs that both can run, as another program computes them, and as they were."""
    runtime = pytest.importorskip("onnxruntime", reason="another program that runs the files")
    from tests.fuzz.draw import records
    from tests.fuzz.program import as_function
    from tests.fuzz.scenarios import draw_program

    path, ran, drawable = tmp_path / "f.onnx", 0, sorted(records(), key=lambda r: r.name)
    for number in range(40):
        drawn = draw_program(11, number, drawable)
        if drawn.dtype != "float32" or drawn.kind in ("trainer", "session") or drawn.extra.get("door") == "param":
            continue
        f, args = as_function(drawn), list(drawn.arrays())
        try:
            made = tl.onnx.export(f, path, *args, dynamic_batch=False)
            session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except (tl.OptionError, runtime.capi.onnxruntime_pybind11_state.NotImplemented):
            continue
        want = [np.asarray(v) for v in tl.tree.flatten(tl.jit(f, seed=0)(*args))[0]]
        read = [np.asarray(v) for v in tl.tree.flatten(tl.onnx.load(path)(*args))[0]]
        for a, b, c in zip(want, session.run(None, dict(zip(made.inputs, args, strict=True))), read, strict=True):
            np.testing.assert_allclose(b, a, rtol=2e-4, atol=2e-4 * max(1.0, float(np.abs(a).max(initial=0))))
            assert a.tobytes() == c.tobytes()
        ran += 1
        if ran == 3:
            break
    assert ran == 3


def test_what_is_read_is_trained(tmp_path: Path) -> None:
    """Initialisers are parameters under the model's names, with the gradients that the model has."""
    tl.seed(2)
    net, x, y = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 1)), _data(5, 4), _data(5, 1)
    path = tmp_path / "f.onnx"
    tl.onnx.export(net.eval(), path, x)
    back = tl.onnx.load(path)
    assert dict(back.named_parameters()).keys() == dict(net.named_parameters()).keys()
    losses = []
    for model in (net, back):
        trainer = tl.ScalarTrainer(tl.Options(), model.state(), [x.shape, y.shape], model.program("mse_loss"))
        losses.append([trainer.step(0.1, x, y).item() for _ in range(3)])
    assert losses[0] == losses[1]
    assert losses[1][2] < losses[1][0]


def test_refusals_say_all(tmp_path: Path) -> None:
    """Ops without operators, operators without ops: each error names all of them; a fixed batch says why."""
    path = tmp_path / "f.onnx"
    cosine, sine = tl.custom_op(np.cos, lambda x, y, g: -g * np.sin(x)), tl.custom_op(np.sin, lambda x, y, g: g * np.cos(x))
    with pytest.raises(tl.OptionError, match=r"cannot hold cos #\d+, sin #\d+: calls into Python"):
        tl.onnx.export(lambda x: cosine(x) + sine(x) + cosine(x), path, _data(3, 3))
    assert not path.exists()
    with pytest.raises(tl.OptionError, match="the batch is fixed"):
        tl.onnx.export(lambda x: x + np.ones((3, 1), np.float32), path, _data(3, 2), dynamic_batch=True)
    made = tl.onnx.export(lambda x: x + np.ones((3, 1), np.float32), path, _data(3, 2))
    assert made.fixed and "ShapeError" in made.fixed
    with pytest.raises(tl.OptionError, match="opset must be between 17"):
        tl.onnx.export(tl.exp, path, _data(3), opset=9)
    kind = onnx.TensorProto.FLOAT
    nodes = [onnx.helper.make_node("NonMaxSuppression", ["x", "x"], ["a"]), onnx.helper.make_node("StringSplit", ["a"], ["y", "z"])]
    ends = [onnx.helper.make_tensor_value_info(n, kind, None) for n in "xy"]
    graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:])
    from tlean.interop.onnx.reading.api import read

    with pytest.raises(tl.MissingOpError, match="NonMaxSuppression, StringSplit"):
        read(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)]))
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(tl.DataError, match="no ONNX model"):
        tl.onnx.load(tmp_path / "bad.onnx")


def test_shapes_may_be_arguments(tmp_path: Path) -> None:
    """An input that is a shape is an array at the call, and each has a separate program."""
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Reshape", ["x", "s"], ["y"])],
        "g",
        [info("x", onnx.TensorProto.FLOAT, ["n"]), info("s", onnx.TensorProto.INT64, [2])],
        [info("y", onnx.TensorProto.FLOAT, ["a", "b"])],
    )
    path = tmp_path / "f.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8), path)
    f = tl.onnx.load(path)
    assert f(_data(6), np.array([2, 3])).shape == (2, 3)
    assert f(_data(6), np.array([-1, 2])).shape == (3, 2)


def test_programs_for_ever_new_numbers_are_bounded() -> None:
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node("Expand", ["x", "shape"], ["y"])],
        "spread",
        [helper.make_tensor_value_info("x", kinds.FLOAT, [1]), helper.make_tensor_value_info("shape", kinds.INT64, [1])],
        [helper.make_tensor_value_info("y", kinds.FLOAT, [None])],
    )
    net = read(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    x, kept = np.ones(1, np.float32), []
    for n in range(1, 200):
        assert net(x, np.array([n])).shape == (n,)
        (latest,) = [p for key, p in net._programs.items() if key[0][3] == np.int64(n).tobytes()]
        kept.append(weakref.ref(latest))
        assert len(net._programs) <= 64
    del latest
    gc.collect()
    # What was dropped is gone, what is kept is used again, and what is gone is made again.
    assert sum(r() is not None for r in kept) == 64 and all(r() is not None for r in kept[-64:])
    assert net(x, np.array([199])).shape == (199,) and kept[-1]() in net._programs.values()
    assert net(x, np.array([1])).shape == (1,) and len(net._programs) == 64
