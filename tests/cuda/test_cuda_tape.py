"""The tape of a device, or of the emulation that `.ci/cuda` builds: every op of the registry with its gradients against the reference, the
order of accumulation, memory, and that nothing is computed on the host instead."""

from __future__ import annotations

import gc

import cuda_plans
import numpy as np
import pytest
from op_calls import BAD, GOOD, assert_close, case

import tlean as tl
from tlean import errors
from tlean._core.array import as_tensor
from tlean.caching import Cache
from tlean.cuda.calls import table
from tlean.cuda.calls.call import _CALLS, Call
from tlean.cuda.eager import CudaEager
from tlean.interpreters.eager import EagerOps
from tlean.ops import get

if not tl.cuda.is_available():
    reason = "needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
    pytest.skip(reason, allow_module_level=True)

#: Relative tolerance against the reference in float64, in units of the largest value.
TOLERANCE = 5e-5
# A device has no float64.
ON_A_TAPE = [(n, k) for n, k in GOOD if len(get(n).outputs) == 1 and not get(n).updates and cuda_plans.on_device(n)]


def leaves(ops, name, arrays):
    record = get(name)
    names = record.input_names(len(arrays))
    return [None if a is None else a if n in record.whole_inputs else ops.leaf(a) for n, a in zip(names, arrays, strict=True)]


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "parts"])
@pytest.mark.parametrize(("name", "k"), ON_A_TAPE)
def test_values_and_gradients(name, k, fused):
    """Against the CPU's tape in float64, which `test_ops` holds against the reference and against differences."""
    arrays, options, _ = case(name, k)
    # Both from numbers that the device has.
    arrays = [None if a is None else a.astype("float32").astype(a.dtype) if a.dtype.kind == "f" else a for a in arrays]
    record = get(name)
    ops, wide = CudaEager(fused=fused), EagerOps("float64")
    refs, theirs = leaves(ops, name, arrays), leaves(wide, name, arrays)
    y, expected = ops.apply(name, refs, options), wide.apply(name, theirs, options)
    assert y.id == len(ops.store) - 1 and y.requires_grad == expected.requires_grad
    if record.random:
        drawn = EagerOps().apply(name, arrays, options).numpy()
        if name == "_rand_normal":
            # The same uniform numbers; a logarithm and a cosine of the device's own.
            assert_close(y.numpy(), drawn, TOLERANCE, name)
        else:
            np.testing.assert_array_equal(y.numpy(), drawn)
        return
    assert_close(y.numpy(), expected.numpy(), TOLERANCE, name)
    if not y.requires_grad:
        return
    g = np.random.default_rng(1).standard_normal(y.shape).astype("float32")
    found, wanted = ops.store.backward(y.id, g), wide.store.backward(expected.id, as_tensor(g, expected.dtype))
    assert [g is None for g in found] == [g is None for g in wanted]
    for i, (m, e) in enumerate(zip(found, wanted, strict=True)):
        if m is not None:
            assert_close(m.numpy(), e.numpy(), TOLERANCE, f"{name}: the gradient of node {i}")


@pytest.mark.parametrize(("name", "k"), [c for c in BAD if len(get(c[0]).outputs) == 1])
def test_an_error_leaves_the_tape_as_it_was(name, k):
    arrays, options, sample = case(name, k)
    ops = CudaEager()
    with pytest.raises(getattr(errors, sample.raises), match=name.lstrip("_")):
        made = ops.apply(name, arrays, options)
        # An index out of range is met on the device: its op has a node, and the read raises.
        made.numpy()
    if sample.raises != "IndexRangeError":
        assert len(ops.store) == 0 and ops.stream_position == 0


def test_no_op_falls_back(monkeypatch):
    """Without its kernel an op raises and names itself, forward and backward."""
    s = tl.Session(device="cuda")
    x = s.input(np.ones((2, 3)))
    y = s.tanh(s.relu(x))
    monkeypatch.setattr("tlean.cuda.calls.call._CALLS", Cache(1000))
    monkeypatch.delitem(table.KERNELS, "relu")
    with pytest.raises(tl.DeviceError, match="relu: there is no CUDA kernel"):
        s.relu(x)
    with pytest.raises(tl.DeviceError, match="relu: there is no CUDA kernel"):
        tl.ScalarTrainer(tl.Options(device="cuda"), [np.ones(3)], [(3,)], lambda ops, w, x: ops.sum(ops.relu(w * x))).step(0.1, np.ones(3))
    monkeypatch.delitem(table.KERNELS, "_tanh_grad")
    fresh = Call(get("tanh"), (s.store.at(y.id).call.specs), {}, table.EXACT, True)
    with pytest.raises(tl.DeviceError, match="tanh_grad: there is no CUDA kernel"):
        fresh.backward((True,))
    assert len(s.store) == 3


def test_the_table_of_calls_is_kept():
    s = tl.Session(device="cuda")
    x = s.input(np.ones((2, 3)))
    s.scale(x, 0.5)
    before = len(_CALLS)
    s.scale(x, 0.5)
    assert len(_CALLS) == before
    s.scale(x, -0.5)
    assert len(_CALLS) == before + 1


def test_one_array_in_two_places():
    """A cotangent that goes to two parents as it is, and a value used twice: each slot is its own."""
    s = tl.Session(device="cuda")
    a, b = s.input([1.0, 2.0]), s.input([3.0, 4.0])
    y = s.add(a, b)
    z = s.add(y, s.mul(a, a))
    grads = s.backward_dense_all(z, [1.0, 1.0])
    assert [g.tolist() for g in s.grads(grads, [a, b, y])] == [[3, 5], [1, 1], [1, 1]]
    again = s.backward_dense_all(z, [1.0, 1.0])
    assert s.grad(again, a).tolist() == [3, 5] and s.grad(grads, z).tolist() == [1, 1]


def test_gradients_are_as_on_the_cpu_bit_for_bit_where_only_sums_are():
    """The order in which contributions are added is the CPU's."""
    values = np.random.default_rng(0).standard_normal((6, 40)).astype("float32")
    found = []
    for device in ("cpu", "cuda"):
        s = tl.Session(device=device)
        x, *rest = s.input_all(values)
        total = x
        for r in rest:
            total = s.add(total, s.mul(x, r))
        found.append(s.grad(s.backward_dense_all(total, values[0]), x).numpy().tobytes())
    assert found[0] == found[1]


@pytest.mark.parametrize("face", ["trainer", "session"])
def test_memory_is_flat_over_steps(face):
    """Live bytes after a step are those after the first, whatever the step made on its way."""
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((4, 1, 8, 8)), rng.integers(0, 5, 4)

    def loss(ops, w, v, b, x, y):
        h = ops.max_pool2d(ops.relu(ops.conv2d(w, None, x, padding=1)), 2)
        return ops.cross_entropy(ops.linear(v, b, ops.dropout(ops.reshape(h, (4, -1)), 0.25)), y)

    values = [0.1 * rng.standard_normal(s) for s in ((3, 1, 3, 3), (5, 48), (5,))]
    s, state = tl.Session(device="cuda"), tl.AdamState()
    params = [s.param(v) for v in values]
    trainer = tl.ScalarTrainer(tl.Options(device="cuda"), values, [x.shape, tl.Spec((4,), "int64")], loss)
    live, cached, peak = set(), set(), set()
    for step in range(40):
        if face == "trainer":
            trainer.adam_step(1e-3, 0.9, 0.999, 1e-8, x, labels)
        else:
            s.reset_tape()
            grads = s.backward_scalar_dense_all(loss(s, *s.use_all(params), s.input(x), labels))
            s.adam_step_all(state, 1e-3, 0.9, 0.999, 1e-8, grads)
        if step == 2:
            gc.collect()
        if step > 2:
            stats = tl.cuda.memory_stats()
            live.add(stats["live"])
            cached.add(stats["cached"])
            peak.add(stats["peak"])
    assert len(live) == len(cached) == len(peak) == 1


def test_a_sweep_gives_back_what_it_made():
    """For parameters alone, the peak of a deep chain's backward pass does not grow with its depth."""

    def peak(depth):
        s = tl.Session(device="cuda")
        w = s.param(np.ones((64, 64)))
        h = s.use(w)
        for _ in range(depth):
            h = s.tanh(h)
        loss = s.sum(h)
        gc.collect()
        before = tl.cuda.memory_stats()["live"]
        tl.cuda.ops().context._peak = before
        s.backward_params(loss)
        return tl.cuda.memory_stats()["peak"] - before

    peak(2)
    assert peak(40) == peak(4)
