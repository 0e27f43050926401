"""Softmax and losses. `reduction` is `"mean"`, `"sum"` or `"none"`."""

from __future__ import annotations

from typing import Protocol

from ...arguments.literals import Reduction
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

    def mse_loss(self, yhat: Ref, target: Ref, reduction: Reduction = "mean", *, name: str | None = None) -> Ref:
        """Mean squared error: the mean (or sum, or array) of (yhat − target)².

        Args:
            yhat, target: arrays that broadcast to `s`; both have gradients.
            reduction: `"mean"`, `"sum"` or `"none"`.

        Returns: `()`, or `s` without reduction.
        Raises: ShapeError if the shapes do not broadcast, or for a mean over nothing; OptionError for another `reduction`.
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
        reduction: Reduction = "mean",
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
        reduction: Reduction = "mean",
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

    def bce_with_logits(
        self,
        logits: Ref,
        target: Ref,
        reduction: Reduction = "mean",
        weight: Ref | None = None,
        pos_weight: Ref | None = None,
        *,
        name: str | None = None,
    ) -> Ref:
        """Binary cross-entropy of logits: max(x, 0) − x·t + log1p(e^(−|x|)) for a logit x and a target t.

        With `pos_weight` p, the term of what is positive counts p times: (1 − t)·x + (1 + (p − 1)·t)·log1p(e^(−x)).

        Args:
            logits, target: arrays that broadcast, with the weights, to `s`; all have gradients; targets are probabilities.
            reduction: `"mean"`, `"sum"` or `"none"`.
            weight: a factor of each loss, None for 1; the mean is over the number of losses all the same.
            pos_weight: a factor of the positive term, None for 1.

        Returns: `()`, or `s` without reduction.
        Raises: ShapeError if the shapes do not broadcast, or for a mean over nothing; OptionError for another `reduction`.
        Derivative: (σ(x) − t)·g/n to logits, −x·g/n to target, n the number of elements (1 but for the mean).
        """
        ...

    def l1_loss(self, yhat: Ref, target: Ref, reduction: Reduction = "mean", *, name: str | None = None) -> Ref:
        """Mean absolute error: the mean (or sum, or array) of |yhat − target|; a composite.

        Args:
            yhat, target: arrays that broadcast to `s`; both have gradients.
            reduction: `"mean"`, `"sum"` or `"none"`.

        Returns: `()`, or `s` without reduction.
        Raises: ShapeError if the shapes do not broadcast, or for a mean over nothing; OptionError for another `reduction`.
        Derivative: as `abs`, so 0 where yhat = target.
        """
        ...

    def huber_loss(self, yhat: Ref, target: Ref, reduction: Reduction = "mean", delta: float = 1.0, *, name: str | None = None) -> Ref:
        """Huber loss: ½d² where |d| ≤ δ, else δ(|d| − ½δ), d = yhat − target; a composite.

        Args:
            yhat, target: arrays that broadcast to `s`; both have gradients.
            reduction: `"mean"`, `"sum"` or `"none"`.
            delta: δ > 0, where the square turns into a line.

        Returns: `()`, or `s` without reduction.
        Raises: ShapeError if the shapes do not broadcast, or for a mean over nothing; OptionError for another `reduction` or delta ≤ 0.
        Source: Huber 1964.
        """
        ...

    def smooth_l1_loss(self, yhat: Ref, target: Ref, reduction: Reduction = "mean", beta: float = 1.0, *, name: str | None = None) -> Ref:
        """Smooth L1 loss: d²/(2β) where |d| ≤ β, else |d| − ½β, d = yhat − target; a composite.

        Args:
            yhat, target: arrays that broadcast to `s`; both have gradients.
            reduction: `"mean"`, `"sum"` or `"none"`.
            beta: β ≥ 0, where the square turns into a line; 0 gives the absolute error.

        Returns: `()`, or `s` without reduction.
        Raises: ShapeError if the shapes do not broadcast; OptionError for another `reduction` or beta < 0.
        Source: Girshick 2015.
        Example: `smooth_l1_loss([0, 3], [1, 0], "none")` is `[0.5, 2.5]`.
        """
        ...

    def binary_cross_entropy(
        self, probs: Ref, target: Ref, weight: Ref | None = None, reduction: Reduction = "mean", *, name: str | None = None
    ) -> Ref:
        """Binary cross-entropy of probabilities: −t·ln p − (1 − t)·ln(1 − p), a logarithm at least −100; a composite.

        Of logits, `bce_with_logits` is exact where this one is not.

        Args:
            probs, target: arrays that broadcast, with the weight, to `s`; probabilities.
            weight: a factor of each loss, None for 1; the mean is over the number of losses all the same.
            reduction: `"mean"`, `"sum"` or `"none"`.

        Returns: `()`, or `s` without reduction.
        Raises: ShapeError if the shapes do not broadcast; OptionError for another `reduction`.
        Derivative: (p − t)/(p·(1 − p))·g; the part of a logarithm that is cut off at −100 is 0.
        Example: `binary_cross_entropy([0.5], [1], reduction="sum")` is `ln 2`.
        """
        ...

    def kl_div(
        self, log_probs: Ref, target: Ref, reduction: Reduction = "mean", log_target: bool = False, *, name: str | None = None
    ) -> Ref:
        """Kullback–Leibler divergence from logarithms of probabilities, by element: t·(ln t − log_probs), 0 where t = 0; a composite.

        Args:
            log_probs, target: arrays that broadcast to `s`: logarithms of probabilities, and probabilities.
            reduction: `"mean"`, `"sum"`, `"none"`, or `"batchmean"`: the sum over the size of the first axis.
            log_target: whether targets are logarithms too: e^t·(t − log_probs).

        Returns: `()`, or `s` without reduction.
        Raises: ShapeError if the shapes do not broadcast; OptionError for another `reduction`.
        Example: `kl_div(log_softmax(x), p, "batchmean")` is the mean divergence of the rows.
        """
        ...

    def poisson_nll_loss(
        self,
        yhat: Ref,
        target: Ref,
        reduction: Reduction = "mean",
        log_input: bool = True,
        full: bool = False,
        eps: float = 1e-8,
        *,
        name: str | None = None,
    ) -> Ref:
        """Negative log-likelihood of counts t: eˣ − t·x for the logarithm x of a rate, or x − t·ln(x + eps) for a rate; a composite.

        Args:
            yhat, target: arrays that broadcast to `s`.
            reduction: `"mean"`, `"sum"` or `"none"`.
            log_input: whether `yhat` is the logarithm of the rate.
            full: whether Stirling's t·ln t − t + ½·ln 2πt is added where t > 1.
            eps: added to a rate before its logarithm is taken.

        Returns: `()`, or `s` without reduction.
        Raises: ShapeError if the shapes do not broadcast; OptionError for another `reduction`.
        Example: `poisson_nll_loss([0], [2])` is `1`.
        """
        ...

    def gaussian_nll_loss(
        self,
        yhat: Ref,
        target: Ref,
        var: Ref,
        reduction: Reduction = "mean",
        full: bool = False,
        eps: float = 1e-6,
        *,
        name: str | None = None,
    ) -> Ref:
        """Negative log-likelihood of a normal distribution: ½·(ln v + (yhat − target)²/v); a composite.

        Args:
            yhat, target, var: means, values and variances v, arrays that broadcast to `s`.
            reduction: `"mean"`, `"sum"` or `"none"`.
            full: whether ½·ln 2π is added.
            eps: what a variance is at least; a smaller one has no gradient.

        Returns: `()`, or `s` without reduction.
        Raises: ShapeError if the shapes do not broadcast; OptionError for another `reduction`.
        Example: `gaussian_nll_loss([0], [2], [1])` is `2`.
        """
        ...

    def hinge_embedding_loss(
        self, x: Ref, target: Ref, reduction: Reduction = "mean", margin: float = 1.0, *, name: str | None = None
    ) -> Ref:
        """Hinge loss of distances: x where the target is 1, max(0, margin − x) where it is −1; a composite.

        Args:
            x, target: distances and targets of 1 and −1, arrays that broadcast to `s`.
            reduction: `"mean"`, `"sum"` or `"none"`.
            margin: how far apart is far enough.

        Returns: `()`, or `s` without reduction.
        Raises: ShapeError if the shapes do not broadcast; OptionError for another `reduction`.
        Example: `hinge_embedding_loss([0.5, 0.25], [1, -1], "none")` is `[0.5, 0.75]`.
        """
        ...

    def soft_margin_loss(self, x: Ref, target: Ref, reduction: Reduction = "mean", *, name: str | None = None) -> Ref:
        """Logistic loss: ln(1 + e^(−t·x)) for a target t of 1 or −1; a composite.

        Args:
            x, target: scores and targets, arrays that broadcast to `s`.
            reduction: `"mean"`, `"sum"` or `"none"`.

        Returns: `()`, or `s` without reduction.
        Raises: ShapeError if the shapes do not broadcast; OptionError for another `reduction`.
        Example: `soft_margin_loss([0], [1])` is `ln 2`.
        """
        ...

    def margin_ranking_loss(
        self, a: Ref, b: Ref, target: Ref, reduction: Reduction = "mean", margin: float = 0.0, *, name: str | None = None
    ) -> Ref:
        """Ranking loss: max(0, margin − t·(a − b)); a is to be above b where t = 1, below where t = −1; a composite.

        Args:
            a, b, target: scores, and targets of 1 and −1, arrays that broadcast to `s`.
            reduction: `"mean"`, `"sum"` or `"none"`.
            margin: by how much.

        Returns: `()`, or `s` without reduction.
        Raises: ShapeError if the shapes do not broadcast; OptionError for another `reduction`.
        Example: `margin_ranking_loss([1, 1], [3, 3], [1, -1], "none")` is `[2, 0]`.
        """
        ...

    def soft_cross_entropy(
        self,
        logits: Ref,
        target: Ref,
        weight: Ref | None = None,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
        *,
        name: str | None = None,
    ) -> Ref:
        """Cross-entropy of probabilities of classes under the softmax of the last axis; a composite.

        ℓ = −Σ_c w[c]·((1 − ε)·t[c] + ε/C)·ln softmax(logits)[c]. The mean is over the rows, whatever their weights.

        Args:
            logits: `(*k, C)`.
            target: `(*k, C)`, probabilities t of the classes.
            weight: `(C,)`, a factor for each class; None for 1.
            label_smoothing: ε in [0, 1].
            reduction: `"mean"`, `"sum"` or `"none"`.

        Returns: `()`, or `(*k)` without reduction.
        Raises: ShapeError if the shapes differ; OptionError for an option out of its range.
        Derivative: to logits and target.
        Example: `soft_cross_entropy([[0, 0]], [[0.5, 0.5]])` is `ln 2`.
        """
        ...

    def multilabel_soft_margin_loss(
        self, logits: Ref, target: Ref, weight: Ref | None = None, reduction: Reduction = "mean", *, name: str | None = None
    ) -> Ref:
        """The mean over classes of the binary cross-entropies of logits, for targets of several classes; a composite.

        Args:
            logits, target: `(*k, C)`, or arrays that broadcast to it; targets are probabilities.
            weight: `(C,)`, a factor for each class; None for 1.
            reduction: `"mean"`, `"sum"` or `"none"`, of the rows.

        Returns: `()`, or `(*k)` without reduction.
        Raises: ShapeError if the shapes do not broadcast; OptionError for another `reduction`.
        Example: `multilabel_soft_margin_loss([[0, 0]], [[1, 0]])` is `ln 2`.
        """
        ...

    def pairwise_distance(
        self, a: Ref, b: Ref, p: float = 2.0, eps: float = 1e-6, keepdims: bool = False, *, name: str | None = None
    ) -> Ref:
        """The p-norm of a − b + eps along the last axis; a composite.

        Args:
            a, b: arrays that broadcast to `(*k, n)`.
            p: the norm, at least 1; `math.inf` for the greatest distance.
            eps: added to each difference, so that the norm has a gradient where a = b.
            keepdims: whether the axis stays, with size 1.

        Returns: `(*k)`, or `(*k, 1)`.
        Raises: ShapeError if the shapes do not broadcast; OptionError for p < 1.
        Example: `pairwise_distance([[0, 0]], [[3, 4]], eps=0)` is `[5]`.
        """
        ...

    def cosine_similarity(self, a: Ref, b: Ref, axis: int = -1, eps: float = 1e-8, *, name: str | None = None) -> Ref:
        """The cosine of the angle between vectors along an axis: Σab/(|a|·|b|), each length at least eps; a composite.

        Args:
            a, b: arrays that broadcast to `s`.
            axis: the axis; negative ones count from the end.
            eps: what a length is at least.

        Returns: `s` without the axis.
        Raises: ShapeError if the shapes do not broadcast; IndexRangeError if there is no such axis.
        Example: `cosine_similarity([1, 0], [1, 1])` is `√½`.
        """
        ...

    def cosine_embedding_loss(
        self, a: Ref, b: Ref, target: Ref, reduction: Reduction = "mean", margin: float = 0.0, *, name: str | None = None
    ) -> Ref:
        """1 − cos where the target is 1, max(0, cos − margin) where it is −1, cos the cosine between vectors; a composite.

        Args:
            a, b: `(*k, n)`, or arrays that broadcast to it.
            target: `(*k)`, 1 and −1.
            reduction: `"mean"`, `"sum"` or `"none"`.
            margin: the cosine below which vectors count as apart.

        Returns: `()`, or `(*k)` without reduction.
        Raises: ShapeError if the shapes do not broadcast; OptionError for another `reduction`.
        Example: `cosine_embedding_loss([[1, 0]], [[0, 1]], [1])` is `1`.
        """
        ...

    def triplet_margin_loss(
        self,
        anchor: Ref,
        positive: Ref,
        negative: Ref,
        reduction: Reduction = "mean",
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        *,
        name: str | None = None,
    ) -> Ref:
        """max(0, margin + d(anchor, positive) − d(anchor, negative)), d the distance along the last axis; a composite.

        Args:
            anchor, positive, negative: `(*k, n)`, or arrays that broadcast to it.
            reduction: `"mean"`, `"sum"` or `"none"`.
            margin: by how much the negative is to be farther away.
            p, eps: of the distance, as `pairwise_distance` has them.
            swap: whether the distance of positive and negative counts where it is the smaller one.

        Returns: `()`, or `(*k)` without reduction.
        Raises: ShapeError if the shapes do not broadcast; OptionError for another `reduction`.
        Source: Balntas et al. 2016.
        Example: `triplet_margin_loss([[0]], [[1]], [[5]])` is `0`.
        """
        ...
