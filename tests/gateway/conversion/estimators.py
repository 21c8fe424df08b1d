"""Estimators as owners have them, small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.random import default_rng

CHANCE = default_rng(0)
X = CHANCE.normal(size=(200, 5)) * [1, 10, 100, 1000, 0.01] + [0, 5, -50, 700, 0]
Y = (X[:, 0] + X[:, 1] / 10 > 0.5).astype(int)
COLOURS = np.array(["red", "green", "blue"])[np.digitize(X[:, 0], [-0.5, 0.5])]


def save(model: Any, file: Path) -> Path:
    joblib.dump(model, file)
    return file


def plain() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)


def reversed_scores() -> Any:
    """A classifier whose two scores skl2onnx 1.20 converts in the other order."""
    from sklearn.svm import SVC

    return SVC().fit(X, Y)


def by_columns() -> Any:
    """A pipeline that picks columns by name: numbers, words and whole numbers."""
    import pandas
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pandas.DataFrame({"age": X[:, 0], "ward": COLOURS, "visits": np.arange(200) % 4})
    picked = [("n", StandardScaler(), ["age"]), ("c", OneHotEncoder(), ["ward", "visits"])]
    return make_pipeline(ColumnTransformer(picked), LogisticRegression()).fit(frame, Y)
