"""Activation functions, element by element. The result has the shape of the argument."""

from __future__ import annotations

from typing import Protocol

from .ref import Ref


class ActivationOps(Protocol):
    """Activation functions."""

    def relu(self, x: Ref, *, name: str | None = None) -> Ref:
        """Rectified linear unit: y = max(x, 0); NaN stays NaN.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: g where x > 0, else 0: 0 at x = 0.
        Source: Nair & Hinton 2010.
        """
        ...

    def leaky_relu(self, x: Ref, slope: float = 0.01, *, name: str | None = None) -> Ref:
        """Leaky rectified linear unit: y = x where x > 0, else slope·x.

        Args:
            x: `s`.
            slope: the factor for negative x, a plain number.

        Returns: `s`.
        Derivative: g where x > 0, else slope·g: slope·g at x = 0.
        Source: Maas, Hannun & Ng 2013.
        """
        ...

    def elu(self, x: Ref, alpha: float = 1.0, *, name: str | None = None) -> Ref:
        """Exponential linear unit: y = x where x > 0, else α(eˣ − 1).

        Args:
            x: `s`.
            alpha: α, a plain number; −α is the limit for x → −inf.

        Returns: `s`.
        Derivative: g where x > 0, else α·eˣ·g: α·g at x = 0.
        Source: Clevert, Unterthiner & Hochreiter 2016, section 3.
        """
        ...

    def sigmoid(self, x: Ref, *, name: str | None = None) -> Ref:
        """Logistic function: y = 1/(1 + e^(−x)), without overflow for any finite x.

        Args:
            x: `s`.

        Returns: `s`, in [0, 1].
        Derivative: y(1 − y)·g.
        """
        ...

    def tanh(self, x: Ref, *, name: str | None = None) -> Ref:
        """Hyperbolic tangent: y = tanh x.

        Args:
            x: `s`.

        Returns: `s`, in [−1, 1].
        Derivative: (1 − y²)·g.
        """
        ...

    def softplus(self, x: Ref, *, name: str | None = None) -> Ref:
        """Smooth rectifier: y = ln(1 + eˣ), computed as max(x, 0) + log1p(e^(−|x|)), without overflow for any finite x.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: σ(x)·g with the logistic function σ.
        Source: Dugas et al. 2001.
        """
        ...

    def silu(self, x: Ref, *, name: str | None = None) -> Ref:
        """Sigmoid linear unit (swish): y = x·σ(x) with the logistic function σ.

        Args:
            x: `s`.

        Returns: `s`.
        Source: Elfwing, Uchibe & Doya 2018.
        """
        ...

    def gelu(self, x: Ref, approximate: str = "tanh", *, name: str | None = None) -> Ref:
        """Gaussian error linear unit.

        `approximate="tanh"`: y = ½x(1 + tanh(√(2/π)(x + 0.044715x³))); `approximate="none"`: y = ½x(1 + erf(x/√2)).

        Args:
            x: `s`.
            approximate: `"tanh"` or `"none"`.

        Returns: `s`.
        Raises: OptionError for another `approximate`.
        Source: Hendrycks & Gimpel 2016, section 2.
        """
        ...
