"""What is measured of the compiled path: the same programs for tlean, PyTorch and JAX, from the same arrays.

A row has one builder for each library: it returns a function that does the work once and gives back numbers to compare.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rows import bounded
from rows.bounded.loops import BATCH, TIME, WIDTH, lstm_jax, lstm_torch, sequence_arrays
from rows.libraries import CompiledRow
from rows.training import CNN, MLP, cnn_ours, cnn_theirs, mlp_ours, mlp_theirs


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    scale = shape[-1] ** -0.5 if len(shape) > 1 else 0.1
    return (rng.standard_normal(shape) * scale).astype(np.float32)


# MLP and CNN -------------------------------------------------------------------------------------------------------------------------


def _digits(shapes: Any, batch: int) -> Callable[[np.random.Generator], list[np.ndarray]]:
    def arrays(rng: np.random.Generator) -> list[np.ndarray]:
        values = [_normal(rng, *s) for s in shapes]
        return [*values, rng.random((batch, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, batch)]

    return arrays


def _jax_loss(scores: Any, y: Any) -> Any:
    import jax
    import jax.numpy as jnp

    return -jnp.take_along_axis(jax.nn.log_softmax(scores), y[:, None], 1).mean()


def _mlp_jax(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, y: Any) -> Any:
    import jax

    h = jax.nn.relu(x.reshape(x.shape[0], -1) @ w1.T + b1)
    return _jax_loss(h @ w2.T + b2, y)


def _cnn_jax(w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, w4: Any, b4: Any, x: Any, y: Any) -> Any:
    import jax

    def layer(w: Any, b: Any, x: Any) -> Any:
        h = jax.lax.conv_general_dilated(x, w, (1, 1), "SAME") + b[:, None, None]
        return jax.lax.reduce_window(jax.nn.relu(h), -np.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    h = layer(w2, b2, layer(w1, b1, x)).reshape(x.shape[0], -1)
    return _jax_loss(jax.nn.relu(h @ w3.T + b3) @ w4.T + b4, y)


# Convolutions one after the other: what lies between them keeps the layout that they compute with ------------------------------------

STACK = 4


def _stack(channels: int, size: int, batch: int) -> Callable[[np.random.Generator], list[np.ndarray]]:
    def arrays(rng: np.random.Generator) -> list[np.ndarray]:
        weights = [_normal(rng, channels, channels, 3, 3) * np.float32(channels**-0.5) for _ in range(STACK)]
        return [
            *weights,
            *(_normal(rng, channels) for _ in range(STACK)),
            rng.standard_normal((batch, channels, size, size), dtype=np.float32),
        ]

    return arrays


def _stack_ours(ops: Any, *xs: Any) -> Any:
    h = xs[-1]
    for w, b in zip(xs[:STACK], xs[STACK : 2 * STACK], strict=True):
        h = ops.relu(ops.conv2d(w, b, h, padding=1))
    return ops.mean(ops.square(h))


def _stack_torch(t: Any, *xs: Any) -> Any:
    h = xs[-1]
    for w, b in zip(xs[:STACK], xs[STACK : 2 * STACK], strict=True):
        h = t.relu(t.nn.functional.conv2d(h, w, b, padding=1))
    return (h**2).mean()


def _stack_jax(*xs: Any) -> Any:
    import jax
    import jax.numpy as jnp

    h = xs[-1]
    for w, b in zip(xs[:STACK], xs[STACK : 2 * STACK], strict=True):
        h = jax.nn.relu(jax.lax.conv_general_dilated(h, w, (1, 1), "SAME") + b[:, None, None])
    return jnp.mean(h**2)


# A recurrence of 50 steps ------------------------------------------------------------------------------------------------------------


def _lstm_ours(ops: Any, w: Any, u: Any, b: Any, xs: Any, target: Any) -> Any:
    h = c = ops.const(np.zeros((BATCH, WIDTH)))
    for t in range(TIME):
        gates = ops.add(ops.linear(w, b, xs[t]), ops.linear(u, None, h))
        i, f, g, o = (ops.slice(gates, (0, k * WIDTH), (BATCH, (k + 1) * WIDTH)) for k in range(4))
        c = ops.add(ops.mul(ops.sigmoid(f), c), ops.mul(ops.sigmoid(i), ops.tanh(g)))
        h = ops.mul(ops.sigmoid(o), ops.tanh(c))
    return ops.mse_loss(h, target)


# A transformer block -----------------------------------------------------------------------------------------------------------------

N, LENGTH, MODEL, HEADS = 8, 64, 128, 4


def _tokens(rng: np.random.Generator) -> list[np.ndarray]:
    norms = [np.ones(MODEL, np.float32), np.zeros(MODEL, np.float32)]
    weights = [_normal(rng, 4 * MODEL, MODEL), _normal(rng, 4 * MODEL), _normal(rng, MODEL, 4 * MODEL), _normal(rng, MODEL)]
    data = [_normal(rng, N, LENGTH, MODEL), _normal(rng, N, LENGTH, MODEL)]
    return [*(_normal(rng, MODEL, MODEL) for _ in range(4)), *norms, *weights, *norms, *data]


def _block_ours(ops: Any, wq: Any, wk: Any, wv: Any, wo: Any, g1: Any, c1: Any, w1: Any, b1: Any, w2: Any, b2: Any, *rest: Any) -> Any:
    g2, c2, x, y = rest
    h = ops.add(x, ops.multi_head_attention(wq, wk, wv, wo, ops.layer_norm(x, g1, c1), HEADS))
    z = ops.layer_norm(h, g2, c2)
    return ops.mse_loss(ops.add(h, ops.linear(w2, b2, ops.gelu(ops.linear(w1, b1, z)))), y)


def _block_torch(t: Any, wq: Any, wk: Any, wv: Any, wo: Any, g1: Any, c1: Any, w1: Any, b1: Any, w2: Any, b2: Any, *rest: Any) -> Any:
    g2, c2, x, y = rest
    f = t.nn.functional
    z = f.layer_norm(x, (MODEL,), g1, c1)
    q, k, v = ((z @ w).view(N, LENGTH, HEADS, -1).transpose(1, 2) for w in (wq, wk, wv))
    a = f.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(N, LENGTH, MODEL)
    h = x + a @ wo
    z = f.layer_norm(h, (MODEL,), g2, c2)
    return f.mse_loss(h + f.linear(f.gelu(f.linear(z, w1, b1), approximate="tanh"), w2, b2), y)


def _block_jax(wq: Any, wk: Any, wv: Any, wo: Any, g1: Any, c1: Any, w1: Any, b1: Any, w2: Any, b2: Any, *rest: Any) -> Any:
    import jax
    import jax.numpy as jnp

    g2, c2, x, y = rest

    def norm(x: Any, g: Any, c: Any) -> Any:
        return (x - x.mean(-1, keepdims=True)) * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5) * g + c

    z = norm(x, g1, c1)
    q, k, v = ((z @ w).reshape(N, LENGTH, HEADS, -1) for w in (wq, wk, wv))
    scores = jax.nn.softmax(jnp.einsum("nqhd,nkhd->nhqk", q, k) * (MODEL // HEADS) ** -0.5)
    h = x + jnp.einsum("nhqk,nkhd->nqhd", scores, v).reshape(N, LENGTH, MODEL) @ wo
    z = norm(h, g2, c2)
    return jnp.mean((h + jax.nn.gelu(z @ w1.T + b1) @ w2.T + b2 - y) ** 2)


# A physics-informed network: u_t = u_xx at 256 points --------------------------------------------------------------------------------

HIDDEN, POINTS = 32, 256


def _points(rng: np.random.Generator) -> list[np.ndarray]:
    weights = [_normal(rng, HIDDEN, 2), _normal(rng, HIDDEN), _normal(rng, HIDDEN, HIDDEN), _normal(rng, HIDDEN), _normal(rng, 1, HIDDEN)]
    return [*weights, rng.random((POINTS, 1), dtype=np.float32), rng.random((POINTS, 1), dtype=np.float32)]


def _pinn_ours(ops: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, x: Any, t: Any) -> Any:
    import tlean as tl

    def u(ops: Any, x: Any, t: Any) -> Any:
        h = ops.tanh(ops.linear(w1, b1, ops.concat([x, t], axis=1)))
        return ops.sum(ops.linear(w3, None, ops.tanh(ops.linear(w2, b2, h))))

    def slope(ops: Any, x: Any, t: Any) -> Any:
        return ops.sum(tl.grad(u)(ops, x, t))

    return ops.mean(ops.square(ops.sub(tl.grad(u, argnums=1)(ops, x, t), tl.grad(slope)(ops, x, t))))


def _pinn_torch(t_: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, x: Any, t: Any) -> Any:
    x, t = x.clone().requires_grad_(), t.clone().requires_grad_()
    h = t_.tanh(t_.nn.functional.linear(t_.cat([x, t], 1), w1, b1))
    u = (t_.tanh(t_.nn.functional.linear(h, w2, b2)) @ w3.T).sum()
    ux, ut = t_.autograd.grad(u, (x, t), create_graph=True)
    (uxx,) = t_.autograd.grad(ux.sum(), x, create_graph=True)
    return ((ut - uxx) ** 2).mean()


def _pinn_jax(w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, x: Any, t: Any) -> Any:
    import jax
    import jax.numpy as jnp

    def u(x: Any, t: Any) -> Any:
        h = jnp.tanh(jnp.concatenate([x, t], 1) @ w1.T + b1)
        return (jnp.tanh(h @ w2.T + b2) @ w3.T).sum()

    uxx = jax.grad(lambda x: jax.grad(u)(x, t).sum())(x)
    return jnp.mean((jax.grad(u, 1)(x, t) - uxx) ** 2)


# Chains ------------------------------------------------------------------------------------------------------------------------------


def _chain(mul: Any, add: Any, relu: Any, total: Any, x: Any, a: Any, b: Any) -> Any:
    for _ in range(33):
        x = relu(add(mul(x, a), b))
    return total(mul(x, a))


def _chain_jax(x: Any, a: Any, b: Any) -> Any:
    import jax
    import jax.numpy as jnp

    return _chain(jnp.multiply, jnp.add, jax.nn.relu, jnp.sum, x, a, b)


def _fuse_ours(ops: Any, a: Any, b: Any, c: Any) -> Any:
    return ops.mean(ops.square(ops.sub(ops.mul(ops.tanh(ops.add(ops.mul(a, b), c)), ops.sigmoid(a)), b)))


def _fuse_jax(a: Any, b: Any, c: Any) -> Any:
    import jax
    import jax.numpy as jnp

    return jnp.mean((jnp.tanh(a * b + c) * jax.nn.sigmoid(a) - b) ** 2)


#: Parameters of a model whose step is the work of gathering them: each has four numbers.
MANY = 200


def _many(mean: Any, square: Any, *refs: Any) -> Any:
    *params, x = refs
    total = mean(square(params[0] * x))
    for p in params[1:]:
        total = total + mean(square(p * x))
    return total


def _many_jax(*refs: Any) -> Any:
    import jax.numpy as jnp

    return _many(jnp.mean, jnp.square, *refs)


def _small_mlp(rng: np.random.Generator) -> list[np.ndarray]:
    weights = [_normal(rng, 16, 10), _normal(rng, 16), _normal(rng, 4, 16), _normal(rng, 4)]
    return [*weights, _normal(rng, 32, 10), rng.integers(0, 4, 32)]


def all_rows() -> list[CompiledRow]:
    """Every row, in the order of the table."""
    rows = [CompiledRow(f"mlp_step_N{n}", "step", _digits(MLP, n), 4, mlp_ours, mlp_theirs, _mlp_jax) for n in (1, 32, 128)]
    rows += [CompiledRow(f"cnn_step_N{n}", "step", _digits(CNN, n), 8, cnn_ours, cnn_theirs, _cnn_jax) for n in (1, 32, 128)]
    rows += [
        CompiledRow("lstm_50_step", "step", sequence_arrays, 3, _lstm_ours, lstm_torch, lstm_jax),
        CompiledRow("transformer_block_step", "step", _tokens, 12, _block_ours, _block_torch, _block_jax),
        CompiledRow("pinn_step", "step", _points, 5, _pinn_ours, _pinn_torch, _pinn_jax),
        CompiledRow(
            f"params_{MANY}_step",
            "step",
            lambda rng: [_normal(rng, 4) for _ in range(MANY + 1)],
            MANY,
            lambda ops, *refs: _many(ops.mean, ops.square, *refs),
            lambda t, *refs: _many(t.mean, t.square, *refs),
            _many_jax,
        ),
        CompiledRow("mlp_hvp_N32", "hvp", _digits(MLP, 32), 4, mlp_ours, mlp_theirs, _mlp_jax),
        CompiledRow("mlp_hessian_160", "hessian", _small_mlp, 1, mlp_ours, mlp_theirs, _mlp_jax),
        CompiledRow(
            "chain_100_ops_of_4",
            "grad",
            lambda rng: [_normal(rng, 4) + 1 for _ in range(3)],
            3,
            lambda ops, *xs: _chain(ops.mul, ops.add, ops.relu, ops.sum, *xs),
            lambda t, *xs: _chain(t.mul, t.add, t.relu, t.sum, *xs),
            _chain_jax,
        ),
    ]
    for channels, size in ((64, 56), (128, 28), (256, 14)):
        arrays = _stack(channels, size, 8)
        name = f"conv_relu_{STACK}_layers_{channels}x{size}x{size}_N8"
        rows.append(CompiledRow(name, "grad", arrays, 2 * STACK, _stack_ours, _stack_torch, _stack_jax))
    for name, size in (("1M", 1 << 20), ("16M", 1 << 24)):
        rows.append(
            CompiledRow(
                f"ew_fusechain_{name}",
                "grad",
                lambda rng, size=size: [rng.standard_normal(size, dtype=np.float32) for _ in range(3)],
                3,
                _fuse_ours,
                lambda t, a, b, c: ((t.tanh(a * b + c) * t.sigmoid(a) - b) ** 2).mean(),
                _fuse_jax,
            )
        )
    return rows + bounded.rows()
