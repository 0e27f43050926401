"""`fast_kernels=False`: every op by its reference definition, eagerly and compiled alike."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean import nn
from tlean.compiler.by_definition import by_definition
from tlean.compiler.lower import lower
from tlean.ops import get
from tlean.reference import interpreter as reference


@pytest.fixture
def defined(monkeypatch):
    """The names of the ops that the reference computed."""
    seen: list[str] = []
    apply = reference.Reference.apply

    def watched(self, op, *args, **options):
        seen.append(get(op).name)
        return apply(self, op, *args, **options)

    monkeypatch.setattr(reference.Reference, "apply", watched)
    return seen


CONVOLUTIONS = {
    "conv": ((4, 2, 3), (1, 2, 8), {}),
    "conv2d": ((4, 2, 3, 3), (1, 2, 8, 8), {}),
    "conv2d ": ((32, 32, 3, 3), (1, 32, 8, 8), {"padding": 1}),
    "conv  ": ((4, 2, 3, 3, 3), (1, 2, 5, 6, 6), {}),
    "conv_transpose": ((2, 4, 3), (1, 2, 8), {"stride": 2}),
    "conv_transpose2d": ((2, 4, 3, 3), (1, 2, 8, 8), {}),
    "conv_transpose ": ((2, 4, 3, 3, 3), (1, 2, 4, 4, 4), {}),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", ["eager", "compiled"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name, backend, dtype, defined):
    """In float32 a pass took the call of the definition for the kernel it replaces: SIGFPE."""
    w_shape, x_shape, window = CONVOLUTIONS[name]
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=w_shape), rng.normal(size=x_shape)
    found = {}
    for fast in (True, False):
        s = tl.Session(tl.Options(backend=backend, dtype=dtype, fast_kernels=fast))
        rw, rx = s.input(w), s.input(x)
        y = getattr(s, name.strip())(rw, None, rx, **window)
        grads = s.backward_scalar_dense_all(s.sum(s.square(s.relu(y))))
        found[fast] = [y.numpy(), grads[rw].numpy(), grads[rx].numpy()]
        assert bool(defined) is not fast
    for a, b in zip(found[True], found[False], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9 if dtype == "float64" else 2e-3, atol=1e-9 if dtype == "float64" else 2e-3)


def network(ops, w, b, x):
    h = ops.max_pool2d(ops.relu(ops.conv2d(w, b, x, padding=1)), 2)
    return ops.mean(ops.square(ops.sub(ops.softmax(ops.flatten(h)), ops.flatten(ops.tanh(h)))))


def test_compiled_is_eager_bit_for_bit(defined):
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=s).astype("f4") for s in ((32, 32, 3, 3), (32,), (1, 32, 6, 6))]
    made = []
    for backend in ("eager", "compiled"):
        s = tl.Session(tl.Options(backend=backend, fast_kernels=False))
        refs = [s.input(a) for a in arrays]
        loss = network(s, *refs)
        grads = s.backward_scalar_dense_all(loss)
        made.append([loss.numpy().tobytes(), *(grads[r].numpy().tobytes() for r in refs)])
    assert made[0] == made[1] and {"conv2d", "relu", "softmax", "_conv_grad_w"} <= set(defined)


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_training(backend, defined):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(8, 3)).astype("f4")
    y = x.sum(1, keepdims=True)
    losses = []
    for fast in (True, False):
        model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).init(0)
        options = tl.Options(backend=backend, fast_kernels=fast)
        losses.append(tl.fit(model, (x, y), "mse_loss", epochs=2, batch_size=8, verbose=False, options=options).step_loss)
        assert bool(defined) is not fast
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_no_pass_takes_a_definition_for_a_kernel():
    """Every record of a Python function has the kernel `host`, whatever record it was made from."""
    program = tl.compile_scalar(network, [(32, 32, 3, 3), (32,), (1, 32, 6, 6)])
    graph = by_definition(program._grad_graph().prune())
    assert {n.record.kernel for n in graph.nodes if n.record.host} == {"host"}
    assert {s.kernel for s in lower(graph).program.steps if s.nodes and s.nodes[0].record.host} == {"host"}
