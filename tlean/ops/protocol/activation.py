"""Activation functions, element by element. The result has the shape of the argument."""

from __future__ import annotations

from typing import Protocol

from ...arguments.literals import Approximation
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

    def softplus(self, x: Ref, beta: float = 1.0, threshold: float | None = None, *, name: str | None = None) -> Ref:
        """Smooth rectifier: y = ln(1 + e^(βx))/β, computed as (max(βx, 0) + log1p(e^(−|βx|)))/β, without overflow for any finite βx.

        Args:
            x: `s`.
            beta: β, a plain number other than 0: the greater, the sharper the corner.
            threshold: where βx is above it, y = x; None is nowhere. PyTorch's is 20, for which y is x to 2·10⁻⁹/β.

        Returns: `s`.
        Derivative: σ(βx)·g with the logistic function σ; g above the threshold.
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

    def gelu(self, x: Ref, approximate: Approximation = "tanh", *, name: str | None = None) -> Ref:
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

    def expit(self, x: Ref, *, name: str | None = None) -> Ref:
        """Alias of `sigmoid`.

        Args:
            x: `s`.

        Returns: `s`.
        """
        ...

    def log_sigmoid(self, x: Ref, *, name: str | None = None) -> Ref:
        """Logarithm of the logistic function: y = ln σ(x) = −ln(1 + e⁻ˣ), without overflow.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: σ(−x)·g.
        """
        ...

    def logit(self, x: Ref, eps: float | None = None, *, name: str | None = None) -> Ref:
        """Log-odds, the inverse of the logistic function: y = ln(x/(1 − x)); ∓inf at 0 and 1, NaN outside.

        Args:
            x: `s`, in [0, 1].
            eps: where given, x is first moved into [eps, 1 − eps].

        Returns: `s`.
        Raises: OptionError if eps is not between 0 and 0.5.
        Derivative: g/(x(1 − x)); 0 where x was moved.
        """
        ...

    def softsign(self, x: Ref, *, name: str | None = None) -> Ref:
        """Softsign: y = x / (1 + |x|).

        Args:
            x: `s`.

        Returns: `s`, in (−1, 1).
        Derivative: g / (1 + |x|)².
        Source: Turian, Bergstra & Bengio 2009.
        """
        ...

    def hardtanh(self, x: Ref, lo: float = -1.0, hi: float = 1.0, *, name: str | None = None) -> Ref:
        """Piecewise linear tanh: y = min(max(x, lo), hi), which is `clamp` with defaults.

        Args:
            x: `s`.
            lo, hi: plain numbers, lo ≤ hi.

        Returns: `s`.
        Raises: OptionError if lo > hi.
        Derivative: g where lo < x < hi strictly, 0 elsewhere.
        """
        ...

    def relu6(self, x: Ref, *, name: str | None = None) -> Ref:
        """Rectified linear unit with a ceiling: y = min(max(x, 0), 6).

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: g where 0 < x < 6 strictly, 0 elsewhere.
        """
        ...

    def hardswish(self, x: Ref, *, name: str | None = None) -> Ref:
        """Piecewise swish: y = x·min(max(x + 3, 0), 6)/6.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: 0 where x ≤ −3, g where x ≥ 3, (x/3 + ½)·g between.
        Source: Howard et al. 2019.
        """
        ...

    def mish(self, x: Ref, *, name: str | None = None) -> Ref:
        """Mish: y = x·tanh(ln(1 + eˣ)).

        Args:
            x: `s`.

        Returns: `s`.
        Source: Misra 2019.
        """
        ...

    def selu(self, x: Ref, *, name: str | None = None) -> Ref:
        """Self-normalising linear unit: y = λx where x > 0, else λα(eˣ − 1), with λ = 1.0507… and α = 1.6732….

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: λ·g where x > 0, else λα·eˣ·g.
        Source: Klambauer et al. 2017.
        """
        ...

    def celu(self, x: Ref, alpha: float = 1.0, *, name: str | None = None) -> Ref:
        """Continuously differentiable exponential linear unit: y = x where x > 0, else α(e^(x/α) − 1).

        Args:
            x: `s`.
            alpha: α, a plain number that is not 0.

        Returns: `s`.
        Raises: OptionError if α = 0.
        Derivative: g where x > 0, else e^(x/α)·g.
        Source: Barron 2017.
        """
        ...

    def prelu(self, x: Ref, slope: Ref, *, name: str | None = None) -> Ref:
        """Leaky rectified linear unit with a slope that is trained: y = x where x > 0, else slope·x.

        Args:
            x, slope: arrays that broadcast to a shape `s`; a slope for each channel of images has the shape (C, 1, 1).

        Returns: `s`.
        Raises: ShapeError if they do not broadcast.
        Derivative: to x g where x > 0, else slope·g; to the slope 0 where x > 0, else x·g.
        Source: He et al. 2015.
        """
        ...

    def glu(self, x: Ref, axis: int = -1, *, name: str | None = None) -> Ref:
        """Gated linear unit: the first half of x along an axis times the logistic function of the second.

        Args:
            x: `s`, of an even size along the axis.
            axis: the axis; negative ones count from the end.

        Returns: `s` with half the size along the axis.
        Raises: ShapeError if that size is odd; IndexRangeError if there is no such axis.
        Source: Dauphin et al. 2017.
        """
        ...
