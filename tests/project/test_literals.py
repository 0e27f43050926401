"""The words that types allow for an option are those that it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest

import tlean as tl
from tlean import nn
from tlean.arguments import literals
from tlean.scipy import integrate, optimize
from tlean.solvers import ode

X = np.linspace(0.1, 0.9, 6, dtype=np.float32).reshape(2, 3)
IMAGES = {d: np.ones((1, 1, *(4,) * d), np.float32) for d in (1, 2, 3)}
POINTS = np.zeros((1, 2, 2, 2), np.float32)
#: The spatial axes of the modes that `interpolate` has for some numbers of them only.
AXES = {"linear": 1, "trilinear": 3}

USES: dict[str, Callable[[Any], Any]] = {
    "Backend": lambda w: tl.Session(backend=w),
    "Precision": lambda w: tl.Options(fast_gpu_matmul_precision=w),
    "Reduction": lambda w: tl.mse_loss(X, X, reduction=w),
    "Norm": lambda w: tl.fft.rfft(X, norm=w),
    "OutOfRange": lambda w: tl.take(X, [0, 1], axis=0, mode=w),
    "Write": lambda w: tl.put_along_axis(X, [[0], [1]], X[:, :1], axis=1, how=w),
    "Quantile": lambda w: tl.quantile(X, 0.5, method=w),
    "Padding": lambda w: tl.pad_by(X, [(1, 1), (1, 1)], mode=w),
    "Border": lambda w: tl.grid_sample(IMAGES[2], POINTS, padding_mode=w),
    "Sampling": lambda w: tl.grid_sample(IMAGES[2], POINTS, mode=w),
    "Resizing": lambda w: tl.interpolate(IMAGES[AXES.get(w, 2)], size=(3,) * AXES.get(w, 2), mode=w),
    "Bag": lambda w: tl.embedding_bag(X, [[0, 1]], mode=w),
    "Approximation": lambda w: tl.gelu(X, approximate=w),
    "Part": lambda w: tl.convolve(X[0], X[1], mode=w),
    "LayerPadding": lambda w: nn.Conv1d(1, 1, 3, padding=1, padding_mode=w),
    "Cover": lambda w: nn.Conv1d(1, 1, 3, padding=w),
    "Nonlinearity": lambda w: nn.RNNCell(2, 2, nonlinearity=w),
    "Columns": lambda w: tl.linalg.qr(X, mode=w),
    "Side": lambda w: (tl.searchsorted(X[0], X[1], side=w), tl.array_api.searchsorted(tl.arange(3.0), tl.arange(3.0), side=w)),
}


@pytest.mark.parametrize("name", USES)
def test_every_word_is_taken_and_no_other(name: str) -> None:
    words = get_args(getattr(literals, name))
    assert len(words) > 1
    for word in words:
        USES[name](word)
    with pytest.raises(tl.OptionError):
        USES[name](f"{words[0]}s")


def test_every_type_of_words_has_a_use() -> None:
    named = {name for name, value in vars(literals).items() if get_origin(value) is Literal}
    assert named == USES.keys()


def test_the_methods_of_solvers() -> None:
    """Those of `tl.scipy` are as SciPy writes them, or in small letters."""
    words = get_args(get_type_hints(tl.solvers.odeint)["method"])
    assert set(words) == set(ode.METHODS)
    for word in words:
        assert tl.solvers.odeint(lambda t, y: -y, 1.0, np.array([0.0, 0.1]), method=word).shape == (2,)
    assert {w.lower() for w in get_args(optimize.MinimumMethod)} == set(optimize.MINIMA)
    assert set(get_args(optimize.RootMethod)) == set(optimize.ROOTS)
    assert set(get_args(integrate.StepMethod)) == set(integrate.METHODS)


@pytest.mark.parametrize("word", get_args(optimize.MinimumMethod))
def test_scipy_knows_the_methods(word: str) -> None:
    solvers = pytest.importorskip("scipy.optimize._minimize", reason="tl.scipy hands programs to SciPy")
    # COBYQA came with SciPy 1.14.
    assert word.lower() in solvers.MINIMIZE_METHODS or word.lower() == "cobyqa"
