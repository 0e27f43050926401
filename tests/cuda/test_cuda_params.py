"""Parameters, optimisers and checkpoints between the host and a device, or the emulation of one that `.ci/cuda` builds."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import tlean as tl
from tlean.optim.updates import SGDUpdate

if not tl.cuda.is_available():
    reason = "needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
    pytest.skip(reason, allow_module_level=True)

RNG = np.random.default_rng(0)
VALUE = RNG.standard_normal((3, 5)).astype("float32")
GRADS = [RNG.standard_normal((3, 5)).astype("float32") for _ in range(4)]
OPTIMISERS = {
    "sgd": lambda p: tl.optim.SGD(p, lr=0.1, weight_decay=0.01),
    "momentum": lambda p: tl.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adagrad": lambda p: tl.optim.AdaGrad(p, initial_accumulator_value=0.1),
    "rmsprop": lambda p: tl.optim.RMSProp(p, centered=True, momentum=0.5),
    "adam": tl.optim.Adam,
    "amsgrad": lambda p: tl.optim.Adam(p, amsgrad=True),
    "adamw": tl.optim.AdamW,
    "adadelta": tl.optim.Adadelta,
}


@pytest.fixture
def where():
    return tl.cuda.ops().context


def test_a_mirror_is_made_once_and_again_after_a_change(where):
    p = tl.Param(VALUE)
    first = p._on_device(where)
    assert p._on_device(where) is first and p.device == "cpu"
    p.set(VALUE + 1)
    assert p._on_device(where) is not first
    np.testing.assert_array_equal(p._on_device(where).numpy(), VALUE + 1)


def test_the_host_reads_back_when_asked(where):
    p = tl.Param(VALUE)
    SGDUpdate(0.5).apply({p: tl.cuda.to_device(GRADS[0])})
    assert p.device == "cuda:0"
    np.testing.assert_array_equal(p.get(sync=False).numpy(), VALUE)
    np.testing.assert_allclose(p.get().numpy(), VALUE - 0.5 * GRADS[0], rtol=1e-6)
    assert p.device == "cpu" and p.shape == (3, 5) and p.dtype == "float32"
    np.testing.assert_array_equal(p.get().numpy(), p._on_device(where).numpy())


def test_set_takes_arrays_of_a_device(where):
    p = tl.Param(VALUE)
    given = tl.cuda.to_device(GRADS[0])
    p.set(given)
    assert p.device == "cuda:0" and p._on_device(where).address != given.address
    np.testing.assert_array_equal(p.get().numpy(), GRADS[0])
    with pytest.raises(tl.ShapeError, match=r"shape \(3, 5\)"):
        p.set(tl.cuda.to_device(np.ones(3, "float32")))
    with pytest.raises(tl.DTypeError, match="float64 on cuda:0"):
        p.set(tl.cuda.to_device(np.ones((3, 5))))
    both = tl.ParamList([p, VALUE])
    both.set([given, GRADS[1]])
    assert [q.device for q in both] == ["cuda:0", "cpu"]
    np.testing.assert_array_equal(both.get()[0].numpy(), GRADS[0])
    np.testing.assert_array_equal(tl.Param(given).get().numpy(), GRADS[0])


def test_release_gives_both_copies_back(where):
    gc.collect()
    before = tl.cuda.memory_stats()["live"]
    p = tl.Param(VALUE)
    SGDUpdate(0.5).apply({p: tl.cuda.to_device(GRADS[0])})
    p.release()
    assert tl.cuda.memory_stats()["live"] == before
    with pytest.raises(tl.NodeError, match="released"):
        p.get()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_optimisers_keep_their_state_on_the_device(name):
    """The same steps as on the host, in the same memory every time, and nothing read back."""
    a, b = tl.Param(VALUE), tl.Param(VALUE)
    here, there = OPTIMISERS[name]([a]), OPTIMISERS[name]([b])
    addresses = set()
    for g in GRADS:
        here.step([g])
        there.step([tl.cuda.to_device(g)])
        addresses.add((b._mirror.address, *(m.address for m in there.state.moments.get(b, ()))))
    assert len(addresses) == 1 and b.device == "cuda:0"
    np.testing.assert_allclose(b.get().numpy(), a.get().numpy(), rtol=2e-5, atol=1e-6)


def test_what_somebody_else_holds_is_not_written_to(where):
    p = tl.Param(VALUE)
    held = p._on_device(where).shared()
    SGDUpdate(0.5).apply({p: tl.cuda.to_device(GRADS[0])})
    np.testing.assert_array_equal(held.numpy(), VALUE)
    assert p._on_device(where).address != held.address


def test_a_wrong_gradient_changes_nothing(where):
    p, q = tl.Param(VALUE), tl.Param(VALUE)
    with pytest.raises(tl.ShapeError, match="its gradient"):
        SGDUpdate(0.5).apply({p: tl.cuda.to_device(GRADS[0]), q: tl.cuda.to_device(np.ones(2, "float32"))})
    np.testing.assert_array_equal(p.get().numpy(), VALUE)


@pytest.mark.parametrize("first", ["cpu", "cuda"])
def test_a_checkpoint_goes_on_on_the_other_device(first, tmp_path):
    """Two steps here, save, load, two steps there: as four steps on the host."""
    pytest.importorskip("safetensors")

    def moved(on, g):
        return tl.cuda.to_device(g) if on == "cuda" else g

    other = "cuda" if first == "cpu" else "cpu"
    alone = tl.Param(VALUE)
    whole = tl.optim.Adam([alone], lr=0.1)
    for g in GRADS:
        whole.step([g])
    params = tl.ParamList([VALUE])
    opt = tl.optim.Adam(params, lr=0.1)
    for g in GRADS[:2]:
        opt.step([moved(first, g)])
    tl.save(tmp_path / "run.safetensors", params=params, optimizer=opt, raw=moved(first, VALUE))
    fresh = tl.ParamList([np.zeros_like(VALUE)])
    again = tl.optim.Adam(fresh, lr=0.5)
    found = tl.load(tmp_path / "run.safetensors", params=fresh, optimizer=again)
    np.testing.assert_array_equal(found["raw"], VALUE)
    for g in GRADS[2:]:
        again.step([moved(other, g)])
    np.testing.assert_allclose(fresh[0].get().numpy(), alone.get().numpy(), rtol=1e-5, atol=1e-6)


def test_averages_follow_on_the_device():
    p = tl.Param(VALUE)
    ema = tl.optim.ExponentialMovingAverage([p], decay=0.5)
    ema.update()
    SGDUpdate(0.5).apply({p: tl.cuda.to_device(GRADS[0])})
    ema.update()
    np.testing.assert_allclose(ema.get()[0].numpy(), VALUE - 0.25 * GRADS[0], rtol=1e-5, atol=1e-6)
    assert p.device == "cuda:0"
