"""Conversions of tabular and text models. Run by the Python of a throw-away environment.

usage: python tabular.py OUT
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxmltools
import pandas
from lightgbm import LGBMClassifier, LGBMRegressor
from onnxmltools.convert.common.data_types import FloatTensorType as ToolsFloat
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from xgboost import XGBClassifier, XGBRegressor

OUT = Path(sys.argv[1])
CHANCE = np.random.default_rng(0)
X = CHANCE.normal(size=(400, 6)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64)
T = (X @ np.arange(6)).astype(np.float32)
PLAIN = {"zipmap": False}


def save(name: str, model: Any) -> None:
    (OUT / f"{name}.onnx").write_bytes(model.SerializeToString())


def scikit_learn() -> None:
    """As `to_onnx` converts by default; classifiers without their maps, as callers want them."""
    defaults = {
        "linear_regression": LinearRegression().fit(X, T),
        "ridge_pipeline": make_pipeline(StandardScaler(), Ridge()).fit(X, T),
        "gradient_boosting_regressor": GradientBoostingRegressor(n_estimators=20).fit(X, T),
        "k_neighbours_regressor": KNeighborsRegressor().fit(X, T),
        "k_means": KMeans(4, n_init=2, random_state=0).fit(X),
        "pca": PCA(3).fit(X),
        "isolation_forest": IsolationForest(n_estimators=20, random_state=0).fit(X),
    }
    for name, model in defaults.items():
        save(f"sklearn_{name}", to_onnx(model, X[:1], target_opset={"": 19, "ai.onnx.ml": 3}))
    classifiers = {
        "logistic_regression": LogisticRegression().fit(X, Y),
        "random_forest": RandomForestClassifier(20, random_state=0).fit(X, Y),
        "svc": SVC(probability=True).fit(X, Y),
        "naive_bayes": GaussianNB().fit(X, Y),
        "mlp": MLPClassifier((16,), max_iter=50, random_state=0).fit(X, Y),
        "scaled_logistic": make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y),
    }
    for name, model in classifiers.items():
        save(f"sklearn_{name}", to_onnx(model, X[:1], options={id(model): PLAIN}))
        if name in ("logistic_regression", "random_forest"):
            save(f"zipmap_{name}", to_onnx(model, X[:1]))


def columns() -> None:
    """An input a column, numbers and words, as from a data frame."""
    table = pandas.DataFrame(
        {"age": X[:, 0], "weight": X[:, 1], "ward": CHANCE.choice(["a", "b", "c"], len(X))}
    )
    encode = ColumnTransformer(
        [("n", StandardScaler(), ["age", "weight"]), ("c", OneHotEncoder(), ["ward"])]
    )
    model = make_pipeline(encode, LogisticRegression()).fit(table, Y)
    types = [
        ("age", FloatTensorType([None, 1])),
        ("weight", FloatTensorType([None, 1])),
        ("ward", StringTensorType([None, 1])),
    ]
    save("sklearn_columns", to_onnx(model, initial_types=types, options={id(model): PLAIN}))


def texts() -> None:
    """From words to a class. Lower case would need a locale that not every machine has."""
    words = np.array(
        [f"{a} patient {b}" for a, b in CHANCE.choice(["ill", "well", "old"], (200, 2))]
    )
    labels = np.array(["ill" in text for text in words]).astype(np.int64)
    model = make_pipeline(TfidfVectorizer(lowercase=False), LogisticRegression()).fit(words, labels)
    types = [("text", StringTensorType([None]))]
    save("sklearn_text", to_onnx(model, initial_types=types, options={id(model): PLAIN}))


def boosters() -> None:
    """XGBoost and LightGBM, trained with missing values."""
    holes = X.copy()
    holes[::7, 2] = np.nan
    kinds = [("input", ToolsFloat([None, 6]))]
    convert = onnxmltools.convert_xgboost
    save(
        "xgboost_classifier",
        convert(XGBClassifier(n_estimators=10).fit(holes, Y), initial_types=kinds),
    )
    save(
        "xgboost_regressor",
        convert(XGBRegressor(n_estimators=10).fit(holes, T), initial_types=kinds),
    )
    light = LGBMClassifier(n_estimators=10, verbose=-1).fit(holes, Y)
    save(
        "lightgbm_classifier",
        onnxmltools.convert_lightgbm(light, initial_types=kinds, zipmap=False),
    )
    slow = LGBMRegressor(n_estimators=10, verbose=-1).fit(holes, T)
    save("lightgbm_regressor", onnxmltools.convert_lightgbm(slow, initial_types=kinds))


for step in (scikit_learn, columns, texts, boosters):
    try:
        step()
    except Exception as fault:  # a converter that does not work with its peers is not our matter
        print(f"{step.__name__}: {type(fault).__name__}: {fault}", file=sys.stderr)
