"""Softmax and losses. `reduction` is `"mean"`, `"sum"` or `"none"`."""

from __future__ import annotations

from typing import Protocol

from .ref import Index, Ints, Ref


class LossOps(Protocol):
    """Softmax and losses."""

    def softmax(self, x: Ref, axis: int = -1, *, name: str | None = None) -> Ref:
        """Softmax along an axis: y = eˣ/Σ eˣ, the maximum taken out first; 1 for a scalar.

        Args:
            x: `s`.
            axis: the axis; negative ones count from the end.

        Returns: `s`.
        Raises: IndexRangeError if there is no such axis; ShapeError if it is empty.
        Derivative: y·(g − Σ g·y); 0 for a scalar.
        """
        ...

    def log_softmax(self, x: Ref, axis: int = -1, eps: float | None = None, *, name: str | None = None) -> Ref:
        """Logarithm of the softmax along an axis: y = x − max − ln Σ e^(x − max); 0 for a scalar.

        Args:
            x: `s`.
            axis: the axis; negative ones count from the end.
            eps: accepted and ignored.

        Returns: `s`.
        Raises: IndexRangeError if there is no such axis; ShapeError if it is empty.
        Derivative: g − e^y·Σ g; 0 for a scalar.
        """
        ...

    def logsumexp(self, x: Ref, axis: Ints | None = -1, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """Logarithm of the sum of exponentials over axes: y = max + ln Σ e^(x − max); a scalar itself.

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there).
        Raises: IndexRangeError if there is no such axis; OptionError if an axis is named twice; ShapeError over nothing.
        Derivative: g times the softmax of x.
        """
        ...

    def mse_loss(self, yhat: Ref, target: Ref, reduction: str = "mean", *, name: str | None = None) -> Ref:
        """Mean squared error: the mean (or sum, or array) of (yhat − target)².

        Args:
            yhat, target: arrays of one shape `s`; both have gradients.
            reduction: `"mean"`, `"sum"` or `"none"`.

        Returns: `()`, or `s` without reduction.
        Raises: ShapeError if the shapes differ, or for a mean over nothing; OptionError for another `reduction`.
        Derivative: (2/n)(yhat − target)·g to yhat, its negative to target, n the number of elements (1 but for the mean).
        """
        ...

    def cross_entropy(
        self,
        logits: Ref,
        labels: Index,
        weight: Ref | None = None,
        label_smoothing: float = 0.0,
        ignore_index: int | None = None,
        reduction: str = "mean",
        *,
        name: str | None = None,
    ) -> Ref:
        """Cross-entropy of integer labels under the softmax of the last axis.

        ℓ = −(1 − ε)·w[t]·ln p[t] − (ε/C)·Σ_c w[c]·ln p[c] for a label t, p = softmax(logits), ε the smoothing, w = 1 without weights; 0 for
        an ignored label. The mean divides Σℓ by Σ w[t] over the labels that are not ignored: NaN where every label is.

        Args:
            logits: `(*k, C)`.
            labels: `(*k)`, integer, each in [0, C) or equal to `ignore_index`.
            weight: `(C,)`, a factor for each class; None for 1.
            label_smoothing: ε in [0, 1].
            ignore_index: the label that counts for nothing; None for none.
            reduction: `"mean"`, `"sum"` or `"none"`.

        Returns: `()`, or `(*k)` without reduction.
        Raises: IndexRangeError for a label out of range (where labels are a run-time input: when the program runs); ShapeError if the
            shapes do not fit; OptionError for an option out of its range.
        Derivative: no gradient to labels.
        Source: Szegedy et al. 2016, section 7 (smoothing).
        """
        ...

    def nll_loss(
        self,
        log_probs: Ref,
        labels: Index,
        weight: Ref | None = None,
        ignore_index: int | None = None,
        reduction: str = "mean",
        *,
        name: str | None = None,
    ) -> Ref:
        """Negative log-likelihood of integer labels: −w[t]·log_probs[t] for a label t, 0 for an ignored one; a composite.

        The mean divides by Σ w[t] over the labels that are not ignored.

        Args:
            log_probs: `(*k, C)`, logarithms of probabilities, as `log_softmax` gives them.
            labels: `(*k)`, integer, each in [0, C) or equal to `ignore_index`.
            weight: `(C,)`, a factor for each class; None for 1.
            ignore_index: the label that counts for nothing; None for none.
            reduction: `"mean"`, `"sum"` or `"none"`.

        Returns: `()`, or `(*k)` without reduction.
        Raises: as `cross_entropy`.
        """
        ...

    def bce_with_logits(self, logits: Ref, target: Ref, reduction: str = "mean", *, name: str | None = None) -> Ref:
        """Binary cross-entropy of logits: max(x, 0) − x·t + log1p(e^(−|x|)) for a logit x and a target t.

        Args:
            logits, target: arrays of one shape `s`; both have gradients; targets are probabilities.
            reduction: `"mean"`, `"sum"` or `"none"`.

        Returns: `()`, or `s` without reduction.
        Raises: ShapeError if the shapes differ, or for a mean over nothing; OptionError for another `reduction`.
        Derivative: (σ(x) − t)·g/n to logits, −x·g/n to target, n the number of elements (1 but for the mean).
        """
        ...

    def l1_loss(self, yhat: Ref, target: Ref, reduction: str = "mean", *, name: str | None = None) -> Ref:
        """Mean absolute error: the mean (or sum, or array) of |yhat − target|; a composite.

        Args:
            yhat, target: arrays of one shape `s`; both have gradients.
            reduction: `"mean"`, `"sum"` or `"none"`.

        Returns: `()`, or `s` without reduction.
        Raises: ShapeError if the shapes differ, or for a mean over nothing; OptionError for another `reduction`.
        Derivative: as `abs`, so 0 where yhat = target.
        """
        ...

    def huber_loss(self, yhat: Ref, target: Ref, reduction: str = "mean", delta: float = 1.0, *, name: str | None = None) -> Ref:
        """Huber loss: ½d² where |d| ≤ δ, else δ(|d| − ½δ), d = yhat − target; a composite.

        Args:
            yhat, target: arrays of one shape `s`; both have gradients.
            reduction: `"mean"`, `"sum"` or `"none"`.
            delta: δ > 0, where the square turns into a line.

        Returns: `()`, or `s` without reduction.
        Raises: ShapeError if the shapes differ, or for a mean over nothing; OptionError for another `reduction` or delta ≤ 0.
        Source: Huber 1964.
        """
        ...
