"""Attention. Memory is linear in the sequence length, forward and backward."""

from __future__ import annotations

from typing import Protocol

from .ref import Index, Mask, Ref


class AttentionOps(Protocol):
    """Attention."""

    def scaled_dot_product_attention(
        self,
        q: Ref,
        k: Ref,
        v: Ref,
        mask: Mask | None = None,
        causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
        dropout: float | None = None,
        seed: Index | None = None,
        *,
        name: str | None = None,
    ) -> Ref:
        """Scaled dot-product attention: y = softmax(scale · Q Kᵀ + mask) V, the softmax along each row.

        Blocked scores are excluded exactly; a row with every score blocked gives zeros and no gradient. The leading axes of q, k and v
        broadcast. No array of n × m scores is made, unless for the gradient of such a mask, for dropout or for
        second derivatives.

        Args:
            q: queries, `(*k, n, h)`.
            k: keys, `(*k, m, h)`.
            v: values, `(*k, m, v)`.
            mask: an array that broadcasts to `(*k, n, m)`; of bool, True = may attend; of floats, it is added to the scaled scores, −∞
                blocks, and it has a gradient; None for all.
            causal: query i attends to keys j ≤ i only (aligned top-left); joins with `mask`.
            scale: what Q Kᵀ is multiplied by, a plain number; None means 1/√h.
            enable_gqa: whether the third axis from the end holds heads, of which k and v may have fewer than q: a head of theirs is for
                as many neighbouring heads of q.
            dropout: the probability that a weight is dropped, in [0, 1); the others are divided by 1 − dropout. None for none; with it
                the n × m weights are made.
            seed: of the dropout, as for `dropout`; or None.

        Returns: `(*k, n, v)`.
        Raises: ShapeError if the sizes do not fit or a sequence or feature axis is empty, or if the heads of k do not divide those of q;
            OptionError for a dropout outside [0, 1).
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
