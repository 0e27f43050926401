"""Checkpoints: what comes back, what is refused, and a training process killed at random moments."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import tlean as tl

pytest.importorskip("safetensors", reason="checkpoints are safetensors files")

# Random moments at which the training process is killed.
KILLS = int(os.environ.get("TLEAN_TEST_KILLS", "5"))


def loss(o, w, b, x, y):
    return o.mse_loss(o.dropout(o.tanh(o.linear(w, b, x)), 0.3), y)


def make(backend="eager", width=4):
    rng = np.random.default_rng(1)
    trainer = tl.ScalarTrainer(
        tl.Options(backend=backend, seed=3), [rng.normal(size=(width, 3)), np.zeros(width)], [(5, 3), (5, width)], loss
    )
    opt = tl.optim.Adam([{"params": [trainer.params[0]]}, {"params": [trainer.params[1]], "lr": 0.3}], lr=0.1, amsgrad=True)
    return trainer, opt, tl.optim.StepLR(opt, step_size=4), tl.optim.ExponentialMovingAverage(trainer.params, 0.9)


def train(trainer, opt, schedule, ema, first, last):
    for k in range(first, last):
        rng = np.random.default_rng(k)
        trainer.optim_step(opt, rng.normal(size=(5, 3)), rng.normal(size=trainer.input_specs[1].shape))
        schedule.step()
        ema.update()


def bits(trainer, opt, schedule, ema):
    arrays = [*trainer.get_params(), *ema.get(), *(m for p in opt.params for m in opt.state.moments.get(p, ()))]
    return [a.numpy().tobytes() for a in arrays], [g["lr"] for g in opt.param_groups], schedule.last_step


@pytest.mark.parametrize(("first", "second"), [("eager", "eager"), ("compiled", "compiled"), ("eager", "compiled")])
def test_resume_is_bit_for_bit(first, second, tmp_path):
    whole = make(first)
    train(*whole, 0, 12)
    half = make(first)
    train(*half, 0, 7)
    path = tmp_path / "run.safetensors"
    tl.save(path, **dict(zip(("trainer", "opt", "schedule", "ema"), half, strict=True)), step=7)
    rest = make(second)
    trainer, opt, schedule, ema = rest
    assert tl.load(path, trainer=trainer, opt=opt, schedule=schedule, ema=ema)["step"] == 7
    train(*rest, 7, 12)
    assert bits(*rest) == bits(*whole)
    assert [p.name for p in tmp_path.iterdir()] == ["run.safetensors"]


def test_adam_step_resumes_too(tmp_path):
    def steps(t, first, last):
        for k in range(first, last):
            t.adam_step(0.1, 0.9, 0.999, 1e-8, np.full((5, 3), 1.0 + k), np.ones((5, 4)))

    whole, half, rest = (make()[0] for _ in range(3))
    steps(whole, 0, 6)
    steps(half, 0, 3)
    tl.save(tmp_path / "a", t=half)
    tl.load(tmp_path / "a", t=rest)
    steps(rest, 3, 6)
    assert [p.get().tolist() for p in rest.params] == [p.get().tolist() for p in whole.params]


def test_values_come_back_as_they_were(tmp_path):
    path = tmp_path / "values.safetensors"
    values = {
        "plain": [1, -(2**62), 2.5, 0.1, float("inf"), "text ∀", True, None],
        "tuple": (1, (2.0, [])),
        "empty": {},
        "scalar": np.array(3.5),
        "none": np.zeros((0, 3), np.float32),
        "ints": np.arange(6).reshape(2, 3).T,
        "bools": np.array([True, False]),
        "big-endian": np.arange(3, dtype=">f8"),
        "tensor": tl.AnyTensor([1.0, 2.0]),
        "param": tl.Param([[1.0]], "w"),
        "number": np.float32(0.25),
    }
    rng = tl.Rng(4)
    rng.next_seed()
    tl.save(path, values, rng=rng, **{"a.b": np.ones(1), "a": {"b": np.zeros(2)}})
    back = tl.load(path)
    assert [back[k] for k in ("plain", "tuple", "empty")] == [values[k] for k in ("plain", "tuple", "empty")]
    for k in ("scalar", "none", "ints", "bools", "big-endian", "tensor", "param", "number"):
        expected = np.asarray(values[k])
        assert back[k].shape == expected.shape
        assert back[k].dtype.kind == expected.dtype.kind
        assert np.array_equal(back[k], expected)
    assert (back["a.b"].tolist(), back["a"]["b"].tolist()) == ([1.0], [0.0, 0.0])
    other = tl.Rng(0)
    tl.load(path, rng=other)
    assert other.next_seed() == rng.next_seed()
    assert back["scalar"].flags.writeable


def test_what_cannot_be_saved_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.safetensors"
    tl.save(path, x=1)
    for bad, words in [
        ({"x": object()}, "x is a object"),
        ({"x": {"deep": {1, 2}}}, "x.deep is a set"),
        ({"x": {1: 2}}, "keys must be texts"),
        ({"x": {"$array": 2}}, "keys must be texts"),
        ({"x": np.array([1j])}, "complex128"),
        ({"x": np.array(["a"])}, "<U1"),
    ]:
        with pytest.raises(tl.OptionError, match=words):
            tl.save(path, bad)
    with pytest.raises(tl.OptionError, match="given twice: x"):
        tl.save(path, {"x": 1}, x=2)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        tl.save(tmp_path / "no" / "a.safetensors", x=1)
    assert tl.load(path) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    tl.save(path, x=np.zeros(2))

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        tl.save(path, x=np.ones(2))
    assert tl.load(path)["x"].tolist() == [0.0, 0.0]
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    tl.save(tmp_path / "link", x=1)
    assert (tmp_path / "link").is_symlink()
    assert tl.load(tmp_path / "file") == {"x": 1}


def test_truncated_and_damaged_files(tmp_path):
    path = tmp_path / "run.safetensors"
    objects = make()
    train(*objects, 0, 2)
    tl.save(path, **dict(zip(("trainer", "opt", "schedule", "ema"), objects, strict=True)))
    whole = path.read_bytes()
    before = bits(*objects)
    trainer, opt, schedule, _ = objects
    cut = [whole[:n] for n in (0, 5, 8, 9, 300, len(whole) // 2, len(whole) - 1)]
    for text in [
        *cut,
        whole + b"\0",
        b"\x7fELF" * 100,
        b"\xff" * 64,
        whole.replace(b"$array", b"$arroy"),
        whole.replace(b"exp_avg", b"exp_awg", 1),
    ]:
        path.write_bytes(text)
        with pytest.raises((tl.DataError, tl.OptionError), match=r"run\.safetensors: "):
            tl.load(path, trainer=trainer, opt=opt, schedule=schedule)
        assert bits(*objects) == before
    with pytest.raises(FileNotFoundError):
        tl.load(tmp_path / "absent")
    with pytest.raises(FileNotFoundError):
        tl.load(tmp_path)


def test_a_newer_format_is_named(tmp_path):
    path = tmp_path / "a.safetensors"
    tl.save(path, x=1)
    path.write_bytes(path.read_bytes().replace(b'\\"format\\":1', b'\\"format\\":9'))
    with pytest.raises(tl.DataError, match="format 9"):
        tl.load(path)


def test_mismatched_checkpoints_load_nothing(tmp_path):
    path = tmp_path / "run.safetensors"
    trainer, opt, schedule, ema = make()
    train(trainer, opt, schedule, ema, 0, 3)
    tl.save(path, trainer=trainer, opt=opt, schedule=schedule, number=1)
    # The first targets would take their parts, the last one does not: all are as before.
    other = make()
    train(*other, 0, 1)
    before = bits(*other)
    for targets, kind in [
        ({"trainer": other[0], "opt": other[1], "schedule": tl.optim.ExponentialLR(0.1, 0.9)}, tl.OptionError),
        ({"trainer": other[0], "opt": tl.optim.SGD(other[0].params)}, tl.OptionError),
        ({"schedule": other[2], "trainer": make(width=6)[0]}, tl.ShapeError),
        ({"trainer": other[0], "ema": other[3]}, tl.DataError),
        ({"trainer": other[0], "number": 3}, tl.OptionError),
    ]:
        with pytest.raises(kind):
            tl.load(path, **targets)
        assert bits(*other) == before


@pytest.mark.torch
def test_weights_of_pytorch(tmp_path):
    torch = pytest.importorskip("torch", reason="writes the weights")
    from safetensors.torch import save_file

    layer = torch.nn.Linear(3, 2)
    path = tmp_path / "torch.safetensors"
    halves = torch.tensor([1.5, -2.0, 0.1])
    save_file({**layer.state_dict(), "b16": halves.bfloat16(), "f16": halves.half()}, path)
    params = tl.ParamList([tl.Param(np.zeros((2, 3)), "w"), tl.Param(np.zeros(2), "b")])
    found = tl.load(path, params=params, names={"w": "weight", "b": "bias"})
    x = np.ones((1, 3), np.float32)
    ours = tl.linear(params[0].get(), params[1].get(), x).numpy()
    np.testing.assert_allclose(ours, layer(torch.from_numpy(x)).detach().numpy(), rtol=1e-6)
    assert list(found) == ["w", "b"]
    short = tl.load(path, names={"x": "b16", "y": "f16"})
    assert (short["x"].tolist(), short["y"].tolist()) == (halves.bfloat16().float().tolist(), halves.half().float().tolist())
    with pytest.raises(tl.DataError, match=r"no checkpoint of tl\.save.*weight"):
        tl.load(path, params=params)
    with pytest.raises(tl.DataError, match=r"it has no scale; it has .*weight"):
        tl.load(path, names={"w": "scale"})
    with pytest.raises(tl.OptionError, match="one target"):
        tl.load(path, names={"w": "weight"}, a=params, b=params)


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for call in (lambda: tl.save(tmp_path / "a", x=1), lambda: tl.load(tmp_path / "a")):
        with pytest.raises(ImportError, match=r"pip install 'tlean\[checkpoint\]'"):
            call()


TRAINING = """
    import sys
    from pathlib import Path
    import numpy as np
    import tlean as tl

    path, steps = Path(sys.argv[1]), int(sys.argv[2])

    def loss(o, w1, b1, w2, x, y):
        return o.cross_entropy(o.linear(w2, None, o.dropout(o.relu(o.linear(w1, b1, x)), 0.2)), y)

    rng = tl.Rng(0)
    x, y = rng.uniform((96, 20)), np.arange(96) % 5
    values = [rng.uniform((64, 20), -0.3, 0.3), np.zeros(64), rng.uniform((5, 64), -0.3, 0.3)]
    trainer = tl.ScalarTrainer(tl.Options(seed=1), values, [(8, 20), tl.Spec((8,), "int64")], loss)
    opt = tl.optim.Adam(trainer.params, lr=0.01)
    schedule = tl.optim.CosineAnnealingLR(opt, T_max=steps)
    loader = tl.data.DataLoader((x, y), 8, shuffle=True, seed=2)
    first = 0
    if path.exists():
        first = tl.load(path, trainer=trainer, opt=opt, schedule=schedule)["step"]
    for step in range(first, steps):
        rows = loader.order(step // len(loader))[step % len(loader) * 8 :][:8]
        trainer.optim_step(opt, x[rows], y[rows])
        schedule.step()
        tl.save(path, trainer=trainer, opt=opt, schedule=schedule, step=step + 1)
        print(step, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "kill") or os.name == "nt", reason="needs SIGKILL")
def test_killed_at_random_moments(tmp_path):
    script = tmp_path / "training.py"
    script.write_text(textwrap.dedent(TRAINING))
    environment = os.environ | {"TLEAN_NUM_THREADS": "1", "PYTHONPATH": str(Path(tl.__file__).parent.parent)}
    rng = random.Random(0)

    def run(path, patience=None):
        process = subprocess.Popen(
            [sys.executable, str(script), str(path), str(20 + 20 * KILLS)], env=environment, stdout=subprocess.PIPE, text=True
        )
        with process:
            if patience is None:
                process.communicate(timeout=120)
            else:
                # Some steps, then a moment that has nothing to do with them.
                for _ in range(rng.randrange(4)):
                    process.stdout.readline()
                try:
                    process.wait(patience)
                except subprocess.TimeoutExpired:
                    process.kill()
        return process.returncode

    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    assert run(whole) == 0
    for _ in range(KILLS):
        # −9: killed, long before the end. Anything else would be a checkpoint that did not load.
        assert run(broken, rng.random() * 0.01) == -9
    assert run(broken) == 0
    # The very bytes: parameters, moments, schedule, random stream, step.
    assert broken.read_bytes() == whole.read_bytes()
