"""XGBoost's and LightGBM's models, as estimators, in pipelines and as their own files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gateway.conversion.request import Report, Request, Stuck
from gateway.conversion.work import convert
from tests.gateway.conversion.estimators import X, Y, save

pytestmark = [
    pytest.mark.convert,
    pytest.mark.e2e,
    pytest.mark.filterwarnings("default"),  # those of other makers are not ours
]
THREE = np.digitize(X[:, 0], [-0.5, 0.5])


def light(**more: Any) -> Any:
    return lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, **more)


def models() -> dict[str, Any]:
    return {
        "xgboost, two": xgboost.XGBClassifier(n_estimators=5).fit(X, Y),
        "xgboost, three": xgboost.XGBClassifier(n_estimators=5).fit(X, THREE),
        "xgboost, number": xgboost.XGBRegressor(n_estimators=5).fit(X, X[:, 1]),
        "xgboost, pipeline": make_pipeline(
            StandardScaler(), xgboost.XGBClassifier(n_estimators=5)
        ).fit(X, Y),
        "lightgbm, two": light().fit(X, Y),
        "lightgbm, three": light().fit(X, THREE),
        "lightgbm, number": lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(X, X[:, 1]),
        "lightgbm, pipeline": make_pipeline(StandardScaler(), light()).fit(X, Y),
    }


def converted(file: Path, *, trusted: bool = True) -> Report:
    out = file.with_name("out.onnx")
    return convert(Request(file=str(file), out=str(out), trusted=trusted), lambda _: None)


def check(report: Report) -> None:
    assert report.compared
    assert not report.not_compared
    assert all(one.differing == 0 for one in report.compared)
    assert not any("says little" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    "name",
    [
        f"{library}, {kind}"
        for library in ("xgboost", "lightgbm")
        for kind in ("two", "three", "number", "pipeline")
    ],
)
def test_an_estimator_says_the_same_as_before(name: str, tmp_path: Path) -> None:
    check(converted(save(models()[name], tmp_path / "model.joblib")))


@pytest.mark.parametrize("name", ["two", "three", "number"])
@pytest.mark.parametrize("ending", ["json", "ubj", "txt"])
def test_a_librarys_own_file_is_loaded_without_a_word_of_trust(
    name: str, ending: str, tmp_path: Path
) -> None:
    file = tmp_path / f"model.{ending}"
    if ending == "txt":
        models()[f"lightgbm, {name}"].booster_.save_model(file)
    else:
        models()[f"xgboost, {name}"].get_booster().save_model(file)
    check(converted(file, trusted=False))


def test_names_of_columns_do_not_stop_a_conversion(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["age", "weight", "height", "rate", "dose"])
    model = xgboost.XGBClassifier(n_estimators=5).fit(frame, Y)
    check(converted(save(model, tmp_path / "model.joblib")))


def test_labels_that_the_converter_cannot_write_are_named(tmp_path: Path) -> None:
    with pytest.raises(Stuck) as stuck:
        converted(save(light().fit(X, Y > 0), tmp_path / "model.joblib"))
    assert "0 and 1" in stuck.value.remedy


def test_a_forest_that_the_converter_gets_wrong_is_found_out(tmp_path: Path) -> None:
    """onnxmltools 1.16 divides nothing by the number of a random forest's trees."""
    model = xgboost.XGBRFClassifier(n_estimators=5).fit(X, THREE)
    with pytest.raises(Stuck, match="differs in"):
        converted(save(model, tmp_path / "model.joblib"))
