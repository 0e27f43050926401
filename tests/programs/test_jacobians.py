"""Whole matrices of derivatives, in one sweep or in chunks; of trees; per-example gradients."""

import numpy as np
import pytest

import tlean as tl

RNG = np.random.default_rng(0)
X, A = RNG.standard_normal(5), RNG.standard_normal((4, 5))
both = pytest.mark.parametrize("backend", ["compiled", "eager"])


def cubic(ops, x):
    return ops.sum(ops.mul(x, ops.square(x)))


def close(actual, expected):
    assert np.shape(actual) == np.shape(expected)
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("jacobian", [tl.jacrev, tl.jacfwd])
@both
def test_jacobians(jacobian, backend):
    f = lambda ops, w, x: ops.tanh(ops.linear(w, None, x))  # noqa: E731
    slope = (1 - np.tanh(A @ X) ** 2)[:, None]
    close(jacobian(f, argnums=1, backend=backend)(A, X), slope * A)
    by_w = np.asarray(jacobian(f, backend=backend)(A, X))
    assert by_w.shape == (4, 4, 5)
    close(by_w, np.eye(4)[:, :, None] * (slope * X)[:, None, :])
    close(jacobian(cubic, backend=backend)(X), 3 * X**2)
    assert jacobian(lambda ops, x: ops.exp(x))(np.zeros((0,))).shape == (0, 0)


@pytest.mark.parametrize("chunk_size", [None, 2])
@pytest.mark.parametrize("jacobian", [tl.jacrev, tl.jacfwd])
def test_jacobians_of_trees(jacobian, chunk_size):
    f = lambda p, s: ({"linear": tl.linear(p["w"], p["b"], X), "scale": p["b"] * s}, p["b"] + 1.0)  # noqa: E731
    p = {"w": A, "b": A[:, 0]}
    found, aux = jacobian(f, argnums=(0, 1), has_aux=True, chunk_size=chunk_size)(p, np.array(3.0))
    close(found["linear"][0]["w"], np.eye(4)[:, :, None] * X)
    close(found["linear"][0]["b"], np.eye(4))
    close(found["linear"][1], np.zeros(4))
    close(found["scale"][0]["w"], np.zeros((4, 4, 5)))
    close(found["scale"][0]["b"], 3.0 * np.eye(4))
    close(found["scale"][1], A[:, 0])
    close(aux, A[:, 0] + 1.0)


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_hessians_of_trees(chunk_size):
    f = lambda p, y: (tl.sum(tl.sin(p["a"]) * p["b"] * y), y)  # noqa: E731
    p, y = {"a": X, "b": X**2}, np.ones(5)
    found, aux = tl.hessian(f, has_aux=True, chunk_size=chunk_size)(p, y)
    close(found["a"]["a"], np.diag(-np.sin(X) * X**2))
    close(found["a"]["b"], np.diag(np.cos(X)))
    close(found["b"]["b"], np.zeros((5, 5)))
    close(aux, y)


def test_a_jacobian_with_dropout_is_of_one_mask():
    for jacobian in (tl.jacrev, tl.jacfwd):
        slopes = np.asarray(jacobian(lambda x: tl.dropout(tl.square(x), p=0.5))(np.ones(40)))
        assert (slopes == np.diag(slopes.diagonal())).all()
        assert set(slopes.diagonal()) == {0.0, 4.0}


@pytest.mark.parametrize("chunk_size", [0, -1])
def test_a_chunk_has_at_least_one_row(chunk_size):
    with pytest.raises(tl.OptionError, match="jacrev: chunk_size must be at least 1, got"):
        tl.jacrev(cubic, chunk_size=chunk_size)


# Gradients of each example ------------------------------------------------------------------------------------------------------


class Net(tl.nn.Module):
    def __init__(self):
        self.kernel, self.scores = tl.nn.Conv2d(1, 2, 3), tl.nn.Linear(2 * 9, 3)

    def forward(self, x):
        return self.scores(tl.flatten(tl.max_pool2d(tl.relu(self.kernel(x)), 2)))


def test_per_sample_gradients_of_a_model():
    net = Net()
    xs, ys = RNG.standard_normal((5, 1, 8, 8)).astype("float32"), RNG.integers(0, 3, 5)
    program = tl.per_sample_grad(lambda x, y: tl.cross_entropy(net(x), y), net)
    whole = tl.per_sample_grad(lambda x, y: (tl.cross_entropy(net(x), y), net(x)), net.named_parameters(), has_aux=True)
    for _ in range(2):
        found = program(xs, ys)
        for k in range(5):
            alone = tl.grad(lambda *ps, k=k: tl.cross_entropy(net.apply(ps, xs[k]), ys[k]), argnums=(0, 1, 2, 3))
            for g, expected in zip(found, alone(*[p.get() for p in net.parameters()]), strict=True):
                np.testing.assert_allclose(np.asarray(g)[k], np.asarray(expected), rtol=2e-5, atol=1e-6)
        named, scores = whole(xs, ys)
        assert np.asarray(scores).shape == (5, 3)
        assert [np.asarray(named[n]).tobytes() for n in net.named_parameters()] == [np.asarray(g).tobytes() for g in found]
        # Parameters are read at each call.
        net.scores.parameters()[0].set(RNG.standard_normal((3, 18)).astype("float32"))


def test_what_per_sample_gradients_are_not_of():
    with pytest.raises(tl.OptionError, match="params must be a model or a tree of its parameters, got ndarray"):
        tl.per_sample_grad(lambda x: x, [X])
    norm = tl.nn.BatchNorm(2)
    program = tl.per_sample_grad(lambda x: tl.sum(norm(x)), norm)
    with pytest.raises(tl.OptionError, match=r"running statistics do not move .* evaluation mode"):
        program(np.ones((3, 1, 2, 4, 4), "float32"))
    norm.eval()
    assert np.asarray(program(np.ones((3, 1, 2, 4, 4), "float32"))[0]).shape == (3, 2)
    with pytest.raises(tl.ShapeError, match="per_sample_grad: the mapped axes must have one size"):
        tl.per_sample_grad(lambda x, y: tl.sum(norm(x)) * y, norm)(np.ones((3, 1, 2, 4, 4), "float32"), np.ones(2, "float32"))
