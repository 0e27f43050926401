"""Attention with its projections, and the forward pass of whole networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rows.base import FORWARD, Row
from rows.training import NETWORKS, Network

WIDTH, HEADS = 512, 8


def _scaled(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.standard_normal(shape) * shape[-1] ** -0.5).astype(np.float32)


# One projection makes queries, keys and values: w (3D, D), b (3D,), then o (D, D), c (D,); x (n, D).


def _packed(n: int) -> Callable[[np.random.Generator], list[np.ndarray]]:
    def arrays(rng: np.random.Generator) -> list[np.ndarray]:
        weights = [_scaled(rng, 3 * WIDTH, WIDTH), _scaled(rng, 3 * WIDTH), _scaled(rng, WIDTH, WIDTH), _scaled(rng, WIDTH)]
        return [*weights, rng.standard_normal((n, WIDTH), dtype=np.float32)]

    return arrays


def _heads_ours(ops: Any, w: Any, b: Any, x: Any) -> list[Any]:
    n, features = x.shape[0], WIDTH // HEADS
    # (n, 3·H·h) -> (n, 3, H, h) -> (3, H, n, h)
    joined = ops.permute(ops.reshape(ops.linear(w, b, x), (n, 3, HEADS, features)), (1, 2, 0, 3))
    return [ops.slice_range0(joined, i, 1) for i in range(3)]


def _heads_theirs(t: Any, w: Any, b: Any, x: Any) -> Any:
    return t.nn.functional.linear(x, w, b).view(x.shape[0], 3, HEADS, -1).permute(1, 2, 0, 3).unsqueeze(1).unbind(0)


def _projected_ours(ops: Any, w: Any, b: Any, o: Any, c: Any, x: Any) -> Any:
    y = ops.scaled_dot_product_attention(*_heads_ours(ops, w, b, x))
    return ops.linear(o, c, ops.reshape(ops.permute(y, (0, 2, 1, 3)), x.shape))


def _projected_theirs(t: Any, w: Any, b: Any, o: Any, c: Any, x: Any) -> Any:
    y = t.nn.functional.scaled_dot_product_attention(*_heads_theirs(t, w, b, x))
    return t.nn.functional.linear(y.transpose(1, 2).reshape(x.shape), o, c)


def _naive_ours(ops: Any, w: Any, b: Any, o: Any, c: Any, x: Any) -> Any:
    q, k, v = (ops.reshape(h, h.shape[1:]) for h in _heads_ours(ops, w, b, x))
    scores = ops.scale(ops.bmm(q, ops.permute(k, (0, 2, 1))), (WIDTH // HEADS) ** -0.5)
    return ops.linear(o, c, ops.reshape(ops.permute(ops.bmm(ops.softmax(scores), v), (1, 0, 2)), x.shape))


def _naive_theirs(t: Any, w: Any, b: Any, o: Any, c: Any, x: Any) -> Any:
    q, k, v = (h[0] for h in _heads_theirs(t, w, b, x))
    scores = (q @ k.transpose(-1, -2)) * (WIDTH // HEADS) ** -0.5
    return t.nn.functional.linear((t.softmax(scores, -1) @ v).transpose(0, 1).reshape(x.shape), o, c)


# Separate projections without biases, (D, D) each.


def _separate(n: int) -> Callable[[np.random.Generator], list[np.ndarray]]:
    return lambda rng: [*(_scaled(rng, WIDTH, WIDTH) for _ in range(4)), rng.standard_normal((n, WIDTH), dtype=np.float32)]


def _multi_head_ours(ops: Any, wq: Any, wk: Any, wv: Any, wo: Any, x: Any) -> Any:
    return ops.multi_head_attention(wq, wk, wv, wo, x, HEADS)


def _multi_head_theirs(t: Any, wq: Any, wk: Any, wv: Any, wo: Any, x: Any) -> Any:
    options = {"use_separate_proj_weight": True, "q_proj_weight": wq.T, "k_proj_weight": wk.T, "v_proj_weight": wv.T}
    rest = (WIDTH, HEADS, None, None, None, None, False, 0.0, wo.T, None)
    return t.nn.functional.multi_head_attention_forward(x, x, x, *rest, need_weights=False, **options)[0]


def _forward_row(name: str, network: Network, batch: int) -> Row:
    def arrays(rng: np.random.Generator) -> list[np.ndarray]:
        values, inputs = network.start(batch)
        return [*values, *inputs]

    return Row(f"{name}_N{batch}", "network forward", arrays, network.ours, network.theirs, modes=(FORWARD,))


def model_rows() -> list[Row]:
    """Attention of 8 heads over 512 features with its projections, three ways; the networks of the training rows, forward to the loss."""
    kinds = {
        "multi_head": (_separate, _multi_head_ours, _multi_head_theirs),
        "projected": (_packed, _projected_ours, _projected_theirs),
        "naive": (_packed, _naive_ours, _naive_theirs),
    }
    rows = [
        Row(f"attention_{kind}_{n}x{WIDTH}", "normalisation and attention", arrays(n), ours, theirs)
        for n in (128, 512, 1024)
        for kind, (arrays, ours, theirs) in kinds.items()
    ]
    return rows + [_forward_row(name, network, n) for name, network in NETWORKS.items() for n in network.batches]
