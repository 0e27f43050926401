"""Losses of margins and of sequences. Composites throughout."""

from __future__ import annotations

from typing import Protocol

from ....arguments.literals import Reduction
from ..ref import Index, Ref


class MarginLossOps(Protocol):
    """Losses of margins and of sequences."""

    def multi_margin_loss(
        self,
        x: Ref,
        target: Index,
        weight: Ref | None = None,
        reduction: Reduction = "mean",
        p: int = 1,
        margin: float = 1.0,
        *,
        name: str | None = None,
    ) -> Ref:
        """Hinge loss of several classes: Σ w[t]·max(0, margin − x[t] + x[c])^p / C over all classes c but the right one, t; a composite.

        Args:
            x: scores, `(N, C)` or `(C,)`.
            target: integer, `(N,)` or `()`: t.
            weight: `(C,)`, of each class; or None.
            reduction: "mean", "sum" or "none".
            p: 1 or 2.
            margin: a plain number.

        Returns: `()`; `(N,)` or `()` without reduction.
        Raises: ShapeError if the shapes do not go together; IndexRangeError for a target that is no class; OptionError for another p.
        Derivative: 0 where max(0, …) has a kink.
        """
        ...

    def multilabel_margin_loss(self, x: Ref, target: Index, reduction: Reduction = "mean", *, name: str | None = None) -> Ref:
        """Hinge loss of several right classes: Σ max(0, 1 − x[t] + x[c]) / C over right classes t and all others c; a composite.

        Args:
            x: scores, `(N, C)` or `(C,)`.
            target: integer, x's shape: the right classes, then −1; what follows the first −1 is not read.
            reduction: "mean", "sum" or "none".

        Returns: `()`; `(N,)` or `()` without reduction.
        Raises: ShapeError if the shapes differ.
        Derivative: 0 where max(0, …) has a kink.
        """
        ...

    def ctc_loss(
        self,
        log_probs: Ref,
        targets: Index,
        input_lengths: Index,
        target_lengths: Index,
        blank: int = 0,
        reduction: Reduction = "mean",
        zero_infinity: bool = False,
        *,
        name: str | None = None,
    ) -> Ref:
        """Connectionist temporal classification: −ln of the probability of a sequence of labels over all ways to set blanks; a composite.

        It takes some ten ops for each of the T moments.

        Args:
            log_probs: logarithms of the classes' probabilities at each moment, `(T, N, C)` or `(T, C)`.
            targets: integer: labels, `(N, S)`, `(S,)` without N, or those of all sequences one after another.
            input_lengths, target_lengths: integer, `(N,)` or `()`: how many moments and labels of each sequence count.
            blank: the class that is no label.
            reduction: "mean", of each loss over its number of labels; "sum" or "none".
            zero_infinity: whether a sequence that cannot be has the loss 0 and no gradient, in place of ∞.

        Returns: `()`; `(N,)` or `()` without reduction.
        Raises: ShapeError if the shapes do not go together; IndexRangeError for a label that is no class; OptionError if blank is none.
        Derivative: by log_probs themselves; PyTorch's also takes away what a log_softmax before it would.
        Source: Graves et al. 2006, section 4.1.
        """
        ...
