"""The estimators pass scikit-learn's own checks, and work where estimators do."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")

from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import tlean as tl
from tlean import nn
from tlean.sklearn import Classifier, Regressor


@pytest.mark.parametrize("kind", [Classifier, Regressor])
@pytest.mark.filterwarnings("default")
def test_scikit_learns_checks(kind):
    result = check_estimator(kind(hidden=(16,), epochs=30, learning_rate=0.03, random_state=0), on_fail=None, on_skip=None)
    failed = [(r["check_name"], r["exception"]) for r in result if r["status"] == "failed"]
    assert not failed
    assert sum(r["status"] == "passed" for r in result) > 35


def test_a_pipeline_with_a_search():
    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    search = GridSearchCV(
        make_pipeline(StandardScaler(), Classifier(epochs=60, random_state=1)), {"classifier__hidden": [(), (8,)]}, cv=2
    ).fit(x, names)
    assert search.best_score_ > 0.93
    assert search.predict_proba(x).sum(axis=1) == pytest.approx(1.0)


def test_a_network_of_the_users_own():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 2))
    y = np.stack([x[:, 0] ** 2, x.sum(axis=1)], axis=1)
    model = TransformedTargetRegressor(
        Regressor(model=lambda n, k: nn.Sequential(nn.Linear(n, 24), nn.ReLU(), nn.Linear(24, k)), random_state=0),
        transformer=StandardScaler(),
    )
    assert cross_val_score(model, x, y, cv=2).mean() > 0.8
    again = [Regressor(epochs=3, random_state=5).fit(x, y).predict(x).tobytes() for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hidden": 3}, r"hidden must be a sequence of widths, as \(64,\), got 3"),
        ({"hidden": "ab"}, "hidden must be a sequence of widths"),
        ({"hidden": (3, 2.5)}, "a width in hidden must be an int, got 2.5"),
        ({"hidden": (0,)}, "a width in hidden must be at least 1, got 0"),
        ({"model": 3}, r"model must be a function \(features, outputs\) that makes a tl.nn.Module, got 3"),
        ({"model": nn.Linear(3, 1)}, "model must be a function"),
        ({"model": lambda n, k: "net"}, "got one that returns 'net'"),
        ({"batch_size": "a"}, "batch_size must be an int, got 'a'"),
        ({"learning_rate": "a"}, "lr must be"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"optimizer": 3}, "optimizer must be one of tl.optim"),
    ],
)
def test_wrong_options_are_told_at_fit(options, said):
    x = np.eye(4)[:, :3]
    for kind, y in ((Regressor, np.arange(4.0)), (Classifier, np.arange(4) % 2)):
        with pytest.raises(tl.OptionError, match=said):
            kind(**options).fit(x, y)


def test_without_scikit_learn_the_error_says_what_to_install():
    code = (
        "import sys; sys.modules['sklearn'] = None\nfrom tlean import *\ntry: sklearn.Classifier\nexcept ImportError as error: print(error)"
    )
    assert "pip install 'tlean[sklearn]'" in subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
