"""Attention. Memory is linear in the sequence length, forward and backward."""

from __future__ import annotations

from typing import Protocol

from .ref import Mask, Ref


class AttentionOps(Protocol):
    """Attention."""

    def scaled_dot_product_attention(
        self, q: Ref, k: Ref, v: Ref, mask: Mask | None = None, causal: bool = False, *, name: str | None = None
    ) -> Ref:
        """Scaled dot-product attention: y = softmax(Q Kᵀ/√h) V, the softmax along each row.

        Blocked scores are excluded exactly; a row with every score blocked gives zeros and no gradient.

        Args:
            q: queries, `(*k, n, h)`.
            k: keys, `(*k, m, h)`.
            v: values, `(*k, m, v)`.
            mask: `(n, m)` or `(*k, n, m)`, bool, True = may attend; None for all.
            causal: query i attends to keys j ≤ i only (aligned top-left); joins with `mask`.

        Returns: `(*k, n, v)`.
        Raises: ShapeError if the sizes do not fit or a sequence or feature axis is empty.
        Source: Vaswani et al. 2017, equation 1; computed in tiles as in Dao et al. 2022.
        """
        ...

    def multi_head_attention(
        self,
        wq: Ref,
        wk: Ref,
        wv: Ref,
        wo: Ref,
        x: Ref,
        num_heads: int,
        mask: Mask | None = None,
        *,
        name: str | None = None,
    ) -> Ref:
        """Multi-head self-attention without biases.

        Q = x·wq, K = x·wk, V = x·wv; head i owns the i-th block of h columns; each head is `scaled_dot_product_attention`; the heads are
        concatenated and multiplied by wo.

        Args:
            wq, wk, wv: projections, `(D, H·h)`.
            wo: output projection, `(H·h, D)`.
            x: `(n, D)`, or `(N, n, D)`.
            num_heads: H ≥ 1; divides the projections' columns.
            mask: `(n, n)`, bool, True = may attend; None for all.

        Returns: x's shape.
        Raises: ShapeError if the sizes do not fit or a sequence or feature axis is empty; OptionError if num_heads is < 1 or does not
            divide.
        Source: Vaswani et al. 2017, section 3.2.2.
        """
        ...
