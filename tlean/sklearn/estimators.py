"""The estimators: a classifier and a regressor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as _error:
    raise ImportError(f"tl.sklearn needs the package scikit-learn, 1.6 or newer: pip install 'tlean[sklearn]' ({_error})") from None

import tlean.nn as nn
import tlean.optim as optim
from tlean.arguments import whole
from tlean.errors import OptionError
from tlean.train.fit import fit as train

if TYPE_CHECKING:
    from tlean.train.history import History


__all__ = ["Classifier", "Regressor"]


#: Samples of a part of a prediction.
_PART = 256


class _Network(BaseEstimator):
    # What the two estimators share: their parameters, how a network is made and trained, and its outputs.
    _loss = ""

    def __init__(
        self,
        hidden: Sequence[int] = (64,),
        model: Callable[[int, int], nn.Module] | None = None,
        learning_rate: float = 0.01,
        epochs: int = 100,
        batch_size: int = 32,
        optimizer: Callable[[Any], Any] | None = None,
        patience: int | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.hidden = hidden
        self.model = model
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.patience = patience
        self.random_state = random_state
        self.verbose = verbose

    def _network(self, features: int, outputs: int) -> nn.Module:
        if self.model is not None:
            # A network is a function too, of other arguments.
            made = None if isinstance(self.model, nn.Module) or not callable(self.model) else self.model(features, outputs)
            if not isinstance(made, nn.Module):
                got = repr(self.model) if made is None else f"one that returns {made!r}"
                raise OptionError(
                    f"{type(self).__name__}: model must be a function (features, outputs) that makes a tl.nn.Module, got {got}"
                )
            return made
        if isinstance(self.hidden, str | bytes) or not isinstance(self.hidden, Iterable):
            raise OptionError(f"{type(self).__name__}: hidden must be a sequence of widths, as (64,), got {self.hidden!r}")
        widths = [features, *(whole(f"{type(self).__name__}: a width in hidden", width, 1) for width in self.hidden)]
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Linear(a, b), nn.Tanh()]
        return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))

    def _trained(self, x: np.ndarray, targets: np.ndarray, outputs: int) -> None:
        batch = whole(f"{type(self).__name__}: batch_size", self.batch_size, 1)
        seed = int(check_random_state(self.random_state).randint(1 << 31))
        network = self._network(x.shape[1], outputs)
        network.init(seed)
        network.to("float64" if x.dtype == np.float64 else "float32")
        self.network_ = network
        make = self.optimizer or (lambda parameters: optim.Adam(parameters, lr=self.learning_rate))
        self.history_: History = train(
            network,
            (x, targets),
            self._loss,
            make,
            epochs=self.epochs,
            batch_size=min(batch, len(x)),
            seed=seed,
            patience=self.patience,
            monitor="loss",
            metrics={},
            verbose=self.verbose,
        )
        self.n_iter_: int = len(self.history_.epochs)

    def _outputs(self, x: Any) -> np.ndarray:
        check_is_fitted(self)
        x = validate_data(self, x, dtype=[np.float64, np.float32], reset=False)
        dtype = next(iter(self.network_.parameters())).dtype
        # In parts, so that what a sample gets does not depend on how many others there are.
        return np.asarray(self.network_.predict(np.asarray(x, dtype), batch_size=_PART))


class Regressor(RegressorMixin, _Network):
    """A network that learns numbers, one or several for each sample, by the mean squared error.

    Inputs and targets should be scaled (`StandardScaler`, `TransformedTargetRegressor`).

    Args:
        hidden: the widths of the hidden layers.
        model: makes another network, `model(features, outputs)`; `hidden` is then not looked at.
        learning_rate: of Adam.
        epochs: passes over the data.
        batch_size: samples of a step.
        optimizer: makes another optimiser of the parameters.
        patience: epochs without a lower loss before training ends; None trains to the end.
        random_state: of the first values and the order of samples; an integer repeats a fit to the bit.
        verbose: whether to show the progress.

    After `fit` it has `network_`, a `tl.nn.Module`, and `history_`.
    """

    _loss = "mse_loss"

    def fit(self, X: Any, y: Any) -> Regressor:
        """Train on samples.

        Args:
            X: `(samples, features)`.
            y: `(samples,)` or `(samples, targets)`.

        Returns: the estimator.
        Raises: ValueError for data that scikit-learn refuses; what `tl.fit` raises.
        """
        x, y = validate_data(self, X, y, dtype=[np.float64, np.float32], multi_output=True, y_numeric=True)
        self._single = y.ndim == 1
        targets = np.asarray(y, x.dtype).reshape(len(y), -1)
        self._trained(x, targets, targets.shape[1])
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The numbers of samples, `(samples,)` or `(samples, targets)` as they were learnt.

        Args:
            X: `(samples, features)`.
        """
        made = self._outputs(X)
        return made[:, 0] if self._single else made

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        # A network on numbers as they come may not reach the score that scikit-learn expects of a regressor on its test data.
        tags.regressor_tags.poor_score = True
        return tags


class Classifier(ClassifierMixin, _Network):
    """A network that learns classes, by the cross-entropy.

    Args:
        hidden, model, learning_rate, epochs, batch_size, optimizer, patience, random_state, verbose: as for `Regressor`; the network has an
            output, a score, for each class.

    After `fit` it has `classes_`, `network_`, a `tl.nn.Module`, and `history_`.
    """

    classes_: np.ndarray

    _loss = "cross_entropy"

    def fit(self, X: Any, y: Any) -> Classifier:
        """Train on samples.

        Args:
            X: `(samples, features)`.
            y: `(samples,)`: their classes, of any kind.

        Returns: the estimator.
        Raises: ValueError for data that scikit-learn refuses; what `tl.fit` raises.
        """
        x, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        self._trained(x, labels.astype(np.int64), len(self.classes_))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, `(samples, classes)`.

        Args:
            X: `(samples, features)`.
        """
        scores = self._outputs(X)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """The class of each sample.

        Args:
            X: `(samples, features)`.
        """
        best = self._outputs(X).argmax(axis=1)
        return self.classes_[best]  # type: ignore[no-any-return]
