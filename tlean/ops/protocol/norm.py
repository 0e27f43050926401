"""Normalisation. Variances are biased (divided by the number of elements)."""

from __future__ import annotations

from typing import Protocol

from .ref import Ref


class NormOps(Protocol):
    """Normalisation."""

    def layer_norm(self, x: Ref, gamma: Ref | None = None, beta: Ref | None = None, eps: float = 1e-5, *, name: str | None = None) -> Ref:
        """Layer normalisation over the last axis: y = γ·(x − mean)/√(var + ε) + β.

        Args:
            x: `(*k, E)`.
            gamma: γ, `(E,)`, or None for 1.
            beta: β, `(E,)`, or None for 0.
            eps: ε, ≥ 0, added to the variance.

        Returns: `(*k, E)`.
        Raises: ShapeError if the sizes do not fit or the last axis is empty; OptionError if eps is negative or not finite.
        Source: Ba, Kiros & Hinton 2016, equation 4.
        """
        ...

    def batchnorm_channel_first(self, x: Ref, gamma: Ref, beta: Ref, eps: float = 1e-5, *, name: str | None = None) -> Ref:
        """Batch normalisation per channel by the statistics of x itself: y = γ[c]·(x − mean[c])/√(var[c] + ε) + β[c].

        The statistics run over every axis but the channel's, the batch axis too.

        Args:
            x: `(C, H, W)` (three axes are always one image), or `(N, C, *in)`.
            gamma, beta: γ and β, `(C,)`.
            eps: ε, ≥ 0, added to the variance.

        Returns: x's shape.
        Raises: ShapeError if the sizes do not fit or an axis is empty; OptionError if eps is negative or not finite.
        Source: Ioffe & Szegedy 2015, algorithm 1.
        """
        ...

    def batch_stats(self, x: Ref, *, name: str | None = None) -> tuple[Ref, Ref]:
        """The mean and the biased variance per channel that `batchnorm_channel_first` uses; for running statistics.

        Args:
            x: `(C, H, W)` (three axes are always one image), or `(N, C, *in)`.

        Returns: the mean `(C,)` and the variance `(C,)`.
        Raises: ShapeError if an axis is empty.
        """
        ...

    def batchnorm_channel_first_eval(
        self, x: Ref, gamma: Ref, beta: Ref, mean: Ref, var: Ref, eps: float = 1e-5, *, name: str | None = None
    ) -> Ref:
        """Batch normalisation per channel by given statistics: y = γ[c]·(x − mean[c])/√(var[c] + ε) + β[c].

        Args:
            x: `(C, H, W)` (three axes are always one image), or `(N, C, *in)`.
            gamma, beta: γ and β, `(C,)`.
            mean, var: the statistics, `(C,)`.
            eps: ε, ≥ 0, added to the variance.

        Returns: x's shape.
        Raises: ShapeError if the sizes do not fit; OptionError if eps is negative or not finite.
        Source: Ioffe & Szegedy 2015, algorithm 2.
        """
        ...

    def rms_norm(self, x: Ref, weight: Ref | None = None, eps: float = 1e-5, *, name: str | None = None) -> Ref:
        """Normalisation by the root of the mean square over the last axis: y = w·x/√(Σx²/E + ε); a composite.

        Args:
            x: `(*k, E)`.
            weight: w, `(E,)`, or None for 1.
            eps: ε, ≥ 0, added to the mean square.

        Returns: `(*k, E)`.
        Raises: ShapeError if the sizes do not fit or the last axis is empty; OptionError if eps is negative or not finite.
        Source: Zhang & Sennrich 2019, equation 4.
        Example: `rms_norm([3, 3], eps=0)` is `[1, 1]`.
        """
        ...

    def group_norm(
        self,
        x: Ref,
        groups: int,
        weight: Ref | None = None,
        bias: Ref | None = None,
        eps: float = 1e-5,
        *,
        name: str | None = None,
    ) -> Ref:
        """Normalisation of groups of channels: y = w[c]·(x − mean)/√(var + ε) + b[c], over each group of each image; a composite.

        Args:
            x: `(N, C, *in)`.
            groups: how many groups the channels are divided into.
            weight: w, `(C,)`, or None for 1.
            bias: b, `(C,)`, or None for 0.
            eps: ε, ≥ 0, added to the variance.

        Returns: `(N, C, *in)`.
        Raises: ShapeError if the sizes do not fit; OptionError unless the groups divide the channels.
        Source: Wu & He 2018, equation 7.
        Example: `group_norm(x, 1)` normalises each image as a whole.
        """
        ...

    def instance_norm(
        self, x: Ref, weight: Ref | None = None, bias: Ref | None = None, eps: float = 1e-5, *, name: str | None = None
    ) -> Ref:
        """Normalisation of each channel of each image: `group_norm` with a group for each channel; a composite.

        Args:
            x: `(N, C, *in)`.
            weight: `(C,)`, or None for 1.
            bias: `(C,)`, or None for 0.
            eps: ≥ 0, added to the variance.

        Returns: `(N, C, *in)`.
        Raises: ShapeError if the sizes do not fit.
        Source: Ulyanov, Vedaldi & Lempitsky 2016.
        Example: `instance_norm(x)` has mean 0 in each channel of each image.
        """
        ...
