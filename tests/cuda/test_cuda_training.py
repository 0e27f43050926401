"""Training compiled on a device, or on the emulation that `.ci/cuda` builds, against the same training on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean import nn
from tlean.cuda.updates import Updates

if not tl.cuda.is_available():
    reason = "needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
    pytest.skip(reason, allow_module_level=True)

RNG = np.random.default_rng(0)
OPTIMISERS = {
    "sgd": lambda p: tl.optim.SGD(p, lr=0.1, weight_decay=0.01),
    "nesterov": lambda p: tl.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adagrad": lambda p: tl.optim.AdaGrad(p, lr=0.05, initial_accumulator_value=0.1),
    "rmsprop": lambda p: tl.optim.RMSProp(p, centered=True, momentum=0.5),
    "adam": tl.optim.Adam,
    "amsgrad": lambda p: tl.optim.Adam(p, amsgrad=True),
    "adamw": tl.optim.AdamW,
    "adadelta": tl.optim.Adadelta,
}


def random(*shape):
    return (RNG.standard_normal(shape) / np.sqrt(max(np.prod(shape[1:]), 1))).astype("float32")


def mlp(ops, w1, b1, w2, b2, x, y):
    h = ops.dropout(ops.tanh(ops.linear(w1, b1, x)), 0.1)
    z = ops.linear(w2, b2, h)
    return ops.cross_entropy(z, y), {"scores": z}


MLP = [random(16, 12), np.zeros(16, "float32"), random(5, 16), np.zeros(5, "float32")]
MLP_INPUTS = [(8, 12), tl.Spec((8,), "int64")]
X, Y = RNG.standard_normal((64, 12)).astype("float32"), RNG.integers(0, 5, 64)


def cnn(ops, w1, b1, w2, b2, w3, b3, x, y):
    h = ops.max_pool2d(ops.relu(ops.conv2d(w1, b1, x, padding=1)), 2)
    h = ops.max_pool2d(ops.relu(ops.conv2d(w2, b2, h, padding=1)), 2)
    return ops.cross_entropy(ops.linear(w3, b3, ops.reshape(h, (h.shape[0], -1))), y)


CNN = [random(4, 1, 3, 3), np.zeros(4, "float32"), random(6, 4, 3, 3), np.zeros(6, "float32"), random(3, 24), np.zeros(3, "float32")]
CNN_INPUTS = [(4, 1, 8, 8), tl.Spec((4,), "int64")]
IMAGES, KINDS = RNG.standard_normal((16, 1, 8, 8)).astype("float32"), RNG.integers(0, 3, 16)


def trainer(device, params=MLP, inputs=MLP_INPUTS, loss=mlp, **options):
    return tl.ScalarTrainer(tl.Options(backend="compiled", device=device, **({"seed": 0} | options)), params, inputs, loss)


def batches(x, y, size, count):
    for k in range(count):
        at = np.arange(k * size, (k + 1) * size) % len(x)
        yield x[at], y[at]


def same(a, b, tolerance=2e-4):
    for p, q in zip(a.get_params(), b.get_params(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser(name):
    """The same losses and parameters, dropout's numbers among them, with clipped gradients."""
    pair = [trainer(device, seed=3) for device in ("cpu", "cuda")]
    losses = []
    for t in pair:
        opt = OPTIMISERS[name](t.params)
        losses.append([t.optim_step(opt, *b, clip_norm=0.5).item() for b in batches(X, Y, 8, 12)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    same(*pair)


def test_the_names_of_a_trainer():
    cpu, cuda = trainer("cpu"), trainer("cuda")
    for x, y in batches(X, Y, 8, 3):
        for call in (lambda t, *b: t.step(0.1, *b), lambda t, *b: t.adam_step(0.01, 0.9, 0.999, 1e-8, *b),
                     lambda t, *b: t.adamw_step(0.01, 0.9, 0.999, 1e-8, 0.1, *b), lambda t, *b: t.forward(*b)):  # fmt: skip
            a, b = call(cpu, x, y), call(cuda, x, y)
            assert b.device == "cuda:0"
            np.testing.assert_allclose(a.item(), b.item(), rtol=1e-4)
            np.testing.assert_allclose(cpu.aux["scores"].numpy(), cuda.aux["scores"].numpy(), rtol=1e-3, atol=1e-4)
    for a, b in zip(cpu.backward(X[:8], Y[:8]), cuda.backward(X[:8], Y[:8]), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=1e-5)
    same(cpu, cuda)


def test_the_cnn():
    cpu, cuda = (trainer(d, CNN, CNN_INPUTS, cnn) for d in ("cpu", "cuda"))
    first, last = [], []
    for t in (cpu, cuda):
        opt = tl.optim.Adam(t.params, lr=0.01)
        losses = [t.optim_step(opt, *b).item() for b in batches(IMAGES, KINDS, 4, 40)]
        first.append(np.mean(losses[:4]))
        last.append(np.mean(losses[-4:]))
    np.testing.assert_allclose(first, first[0], rtol=1e-3)
    np.testing.assert_allclose(last, last[0], rtol=2e-2)
    assert last[1] < 0.5 * first[1]


class Block(tl.nn.Module):
    """A transformer of one layer over characters: gathers, norms, attention with a mask, a wide product."""

    def __init__(self, symbols, length, size):
        self.letters, self.places = tl.nn.Embedding(symbols, size, length=length), tl.nn.Embedding(length, size, length=length)
        self.first, self.second = tl.nn.LayerNorm(size), tl.nn.LayerNorm(size)
        self.attention = tl.nn.MultiHeadAttention(size, 2)
        self.wide, self.narrow, self.out = tl.nn.Linear(size, 4 * size), tl.nn.Linear(4 * size, size), tl.nn.Linear(size, symbols)

    def forward(self, ops, x):
        length = x.shape[0]
        h = ops.add(self.letters(ops, x), self.places(ops, np.arange(length)))
        h = ops.add(h, self.attention(ops, self.first(ops, h), mask=np.tril(np.ones((length, length), bool))))
        h = ops.add(h, self.narrow(ops, ops.gelu(self.wide(ops, self.second(ops, h)))))
        return ops.reshape(self.out(ops, h), (length, -1))


def test_a_transformer():
    found = []
    text = RNG.integers(0, 7, 13)
    for device in ("cpu", "cuda"):
        model = Block(7, 12, 8).init(0)
        inputs = [tl.Spec((12,), "int64"), tl.Spec((12,), "int64")]
        t = tl.ScalarTrainer(tl.Options(backend="compiled", device=device, seed=0), model.state(), inputs, model.program("cross_entropy"))
        opt = tl.optim.AdamW(t.params, lr=0.01)
        found.append([t.optim_step(opt, text[:-1], text[1:], clip_norm=1.0).item() for _ in range(30)])
    np.testing.assert_allclose(found[0][:10], found[1][:10], rtol=1e-3)
    assert found[1][-1] < 0.3 * found[1][0]


def test_steps_of_another_size_and_arrays_of_the_device():
    """A last, smaller batch has its own plan; inputs that are on the device are used there."""
    cpu, cuda = trainer("cpu"), trainer("cuda")
    for size in (8, 5, 8):
        a = cpu.step(0.1, X[:size], Y[:size])
        b = cuda.step(0.1, tl.cuda.to_device(X[:size]), tl.cuda.to_device(Y[:size]))
        np.testing.assert_allclose(a.item(), b.item(), rtol=1e-4)
    same(cpu, cuda)


def test_a_state_moves_between_devices():
    cpu, cuda = trainer("cpu"), trainer("cuda")
    for b in batches(X, Y, 8, 4):
        cuda.adam_step(0.01, 0.9, 0.999, 1e-8, *b)
    cpu.load_state_dict(cuda.state_dict())
    for b in batches(X, Y, 8, 4):
        for t in (cpu, cuda):
            t.adam_step(0.01, 0.9, 0.999, 1e-8, *b)
    same(cpu, cuda)


def test_parameters_that_somebody_reads_or_sets():
    """An array of a parameter stays as it was when it was taken; a value that is set is used from then on."""
    t = trainer("cuda")
    where = tl.cuda.ops().context
    t.step(0.1, X[:8], Y[:8])
    kept = t.params[0]._on_device(where).shared()
    before = kept.numpy()
    t.step(0.1, X[:8], Y[:8])
    np.testing.assert_array_equal(kept.numpy(), before)
    assert not np.array_equal(t.params[0].get().numpy(), before)
    t.params[0].set(np.zeros((16, 12)))
    t.step(0.0, X[:8], Y[:8])
    assert not t.params[0].get().numpy().any()


def test_nothing_is_allocated_or_read_back_in_a_step(monkeypatch):
    t = trainer("cuda")
    opt = tl.optim.Adam(t.params)
    pool = tl.cuda.ops().context.pool
    for _ in range(2):
        loss = t.optim_step(opt, X[:8], Y[:8])
    loss.item()
    before = (tl.cuda.memory_stats()["live"], pool.managed_bytes)
    with monkeypatch.context() as patch:
        patch.setattr(tl.cuda.ops().context, "synchronize", lambda: pytest.fail("a step waits for the device"))
        patch.setattr("tlean.cuda.runtime.array.DeviceArray.numpy", lambda self: pytest.fail("a step reads back"))
        for _ in range(1000):
            loss = t.optim_step(opt, X[:8], Y[:8])
    assert (tl.cuda.memory_stats()["live"], pool.managed_bytes) == before
    assert np.isfinite(loss.item())


def test_one_launch_updates_all_parameters():
    t = trainer("cuda")
    t.adam_step(0.01, 0.9, 0.999, 1e-8, X[:8], Y[:8])
    (plan,) = (trace.run for trace in t._steps._made.values())
    assert [s.kernel for s in plan.plan.program.steps].count("_adam_step of 4 parameters") == 1
    (updates,) = [c for _, c in plan.plan._calls if isinstance(c, Updates)]
    assert len(updates._steps) == 1
    written = updates._steps
    t.adam_step(0.02, 0.9, 0.999, 1e-8, X[:8], Y[:8])
    assert updates._steps is written, "the table of addresses is written once"


def test_parameters_with_rates_of_their_own():
    """Groups of one optimiser: a launch for each set of numbers."""
    pair = [trainer(device) for device in ("cpu", "cuda")]
    for t in pair:
        opt = tl.optim.Adam([{"params": list(t.params)[:2], "lr": 0.1}, {"params": list(t.params)[2:], "lr": 0.01}])
        for b in batches(X, Y, 8, 5):
            t.optim_step(opt, *b)
    same(*pair)
    (plan,) = (trace.run for trace in pair[1]._steps._made.values())
    (updates,) = [c for _, c in plan.plan._calls if isinstance(c, Updates)]
    assert len(updates._steps) == 2


def test_labels_out_of_range_are_reported_at_a_read():
    t = trainer("cuda")
    loss = t.step(0.1, X[:8], np.full(8, 5))
    with pytest.raises(tl.IndexRangeError, match="cross_entropy"):
        loss.item()


def test_a_session():
    """A step recorded op by op, run as one plan: its loss, gradients, update."""
    found = []
    for device in ("cpu", "cuda"):
        s = tl.Session(backend="compiled", device=device, seed=1)
        params, state, losses = [s.param(p) for p in MLP], tl.AdamState(), []
        for x, y in batches(X, Y, 8, 8):
            s.reset_tape()
            loss, _ = mlp(s, *s.use_all(params), s.input(x), y)
            grads = s.backward_scalar_dense_all(loss)
            s.adam_step_all(state, 0.01, 0.9, 0.999, 1e-8, grads)
            losses.append(loss.item())
        found.append((losses, [p.get().numpy() for p in params]))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-4)
    for a, b in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_a_module_with_buffers():
    model = tl.nn.Sequential(tl.nn.Conv2d(1, 4, 3), tl.nn.BatchNorm(4), tl.nn.ReLU(), tl.nn.Flatten(), tl.nn.Linear(144, 3)).init(0)
    found = []
    for device in ("cpu", "cuda"):
        model.init(0)
        t = tl.ScalarTrainer(
            tl.Options(backend="compiled", device=device, seed=0), model.state(), CNN_INPUTS, model.program("cross_entropy")
        )
        # Not Adam: it makes whole steps of a convolution's bias, whose gradient before a batch norm is rounding alone.
        opt = tl.optim.SGD(t.params, lr=0.05)
        for b in batches(IMAGES, KINDS, 4, 4):
            t.optim_step(opt, *b)
            model.set_buffers(t.aux["buffers"])
        found.append([p.get().numpy() for p in model.state()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


SEQUENCES = random(2, 4, 3)


@pytest.mark.parametrize("backend", ["eager", "compiled"])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_recurrent_layers(kind, backend):
    """Their loops run on the device."""
    layer = getattr(nn, kind)(3, 4, layers=2, bidirectional=True).init(0)
    made = []
    for device in ("cpu", "cuda"):
        s = tl.Session(tl.Options(backend=backend, device=device))
        x = s.input(SEQUENCES)
        y = layer(s, x, lengths=np.array([4, 2]))
        grads = s.backward_scalar_dense_all(s.mean(s.square(y)))
        made.append([np.asarray(a) for a in (y, s.grad(grads, x), *(s._by_param(grads)[p] for p in layer.parameters()))])
    for ours, wanted in zip(made[1], made[0], strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=2e-4, atol=1e-6)


def test_a_trainer_of_a_recurrent_model():
    losses = []
    for device in ("cpu", "cuda"):
        model = nn.Sequential(nn.GRU(3, 4, last=True), nn.Linear(4, 1)).init(0)
        options = tl.Options(backend="compiled", device=device)
        made = tl.ScalarTrainer(options, model.state(), [SEQUENCES.shape, (2, 1)], model.program("mse_loss"))
        losses.append([made.step(0.5, SEQUENCES, SEQUENCES[:, 0, :1]).item() for _ in range(4)])
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-4)
    assert losses[1][-1] < losses[1][0]
