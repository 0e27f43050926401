"""Models as scikit-learn estimators, for its pipelines, cross-validation and searches.

    from tlean.sklearn import Classifier
    scores = cross_val_score(make_pipeline(StandardScaler(), Classifier(hidden=(32,))), X, y)

It needs scikit-learn: `pip install tlean[sklearn]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tlean.later import names

if TYPE_CHECKING:
    from .estimators import Classifier, Regressor

__all__ = ["Classifier", "Regressor"]

# Imported when they are first named, so that `from tlean import *` needs no scikit-learn.
if not TYPE_CHECKING:
    __getattr__, __dir__ = names(__name__, {}, dict.fromkeys(__all__, "tlean.sklearn.estimators"))
