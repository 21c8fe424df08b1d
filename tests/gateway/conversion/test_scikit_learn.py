"""Estimators and pipelines are converted by the real libraries, and compared with themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.conversion.request import Report, Request, Stuck
from gateway.conversion.work import convert
from tests.gateway.conversion.estimators import COLOURS, X, Y, by_columns, plain, save

pytestmark = [pytest.mark.convert, pytest.mark.e2e]  # joblib asks `lscpu` for the cores


@pytest.fixture(autouse=True)
def converters() -> None:
    for name in ("skl2onnx", "onnxmltools"):
        pytest.importorskip(name, reason=f"{name} comes with the `convert` extra")


def converted(model: Any, folder: Path, **more: Any) -> Report:
    file = save(model, folder / "model.joblib")
    request = Request(file=str(file), out=str(folder / "out.onnx"), trusted=True, **more)
    return convert(request, lambda _: None)


def estimators() -> dict[str, Any]:
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.ensemble import IsolationForest, RandomForestClassifier, RandomForestRegressor
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.neural_network import MLPClassifier
    from sklearn.tree import DecisionTreeClassifier

    return {
        "forest": RandomForestClassifier(5, random_state=0).fit(X, COLOURS),
        "regressor": RandomForestRegressor(5, random_state=0).fit(X, X[:, 1]),
        "linear": LinearRegression().fit(X, X[:, 1]),
        "clusters": KMeans(3, n_init=1, random_state=0).fit(X),
        "components": PCA(2).fit(X),
        "isolation": IsolationForest(n_estimators=5, random_state=0).fit(X),
        "network": MLPClassifier((4,), max_iter=300, tol=1.0, random_state=0).fit(X, Y),
        "search": GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}).fit(X, Y),
    }


@pytest.mark.parametrize(
    "name",
    ["forest", "regressor", "linear", "clusters", "components", "isolation", "network", "search"],
)
def test_an_estimator_says_the_same_as_before(name: str, tmp_path: Path) -> None:
    report = converted(estimators()[name], tmp_path)
    assert report.compared
    assert not report.not_compared
    assert all(one.differing == 0 for one in report.compared)
    assert report.sample == "200 rows that were made here"


def test_probabilities_are_a_tensor_and_the_order_of_classes_is_told(tmp_path: Path) -> None:
    from sklearn.tree import DecisionTreeClassifier

    report = converted(DecisionTreeClassifier(max_depth=3).fit(X, COLOURS), tmp_path)
    assert any("blue, green, red" in change for change in report.changes)


def test_rows_of_the_owner_are_compared_where_there_are_some(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", x=X, y=Y)
    report = converted(plain(), tmp_path, sample=str(tmp_path / "rows.npz"))
    assert report.sample == "200 rows of rows.npz"
    assert [one.rows for one in report.compared] == [200, 200]


def test_a_pipeline_that_picks_columns_by_name_has_an_input_a_column(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    import onnx

    report = converted(by_columns(), tmp_path)
    assert all(one.differing == 0 for one in report.compared)
    inputs = [value.name for value in onnx.load(tmp_path / "out.onnx").graph.input]
    assert inputs == ["age", "ward", "visits"]


def test_a_sample_of_another_width_says_how_many_columns_are_taken(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", x=X[:, :4])
    with pytest.raises(Stuck, match="takes 5 columns, and the sample is 200x4") as stuck:
        converted(plain(), tmp_path, sample=str(tmp_path / "rows.npz"))
    assert stuck.value.reason == "sample"


def test_a_converter_that_changes_answers_is_found_out(tmp_path: Path) -> None:
    """skl2onnx 1.20 gives the scores of a vector machine's two classes in the other order."""
    from tests.gateway.conversion.estimators import reversed_scores

    with pytest.raises(Stuck, match="`probabilities` differs in 200 of 200 rows"):
        converted(reversed_scores(), tmp_path)
    assert not (tmp_path / "out.onnx").exists()


def test_a_model_that_was_not_trained_is_said_to_be_so(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for model in (LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())):
        with pytest.raises(Stuck, match="not trained") as stuck:
            converted(model, tmp_path)
        assert "fit it" in stuck.value.remedy


def test_columns_whose_names_have_spaces_keep_them(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    frame = pandas.DataFrame({"mean age": X[:, 0], "ward (old)": COLOURS})
    picked = [("c", OneHotEncoder(), ["ward (old)"]), ("n", "passthrough", ["mean age"])]
    model = make_pipeline(ColumnTransformer(picked), LinearRegression()).fit(frame, X[:, 1])
    frame.to_csv(tmp_path / "rows.csv", index=False)
    report = converted(model, tmp_path, sample=str(tmp_path / "rows.csv"))
    assert [one.differing for one in report.compared] == [0]


def test_an_estimator_without_a_converter_is_named_with_the_way_on(tmp_path: Path) -> None:
    from sklearn.neighbors import NearestCentroid

    with pytest.raises(Stuck) as stuck:
        converted(NearestCentroid().fit(X, Y), tmp_path)
    assert stuck.value.reason == "unsupported"
    assert stuck.value.remedy


def test_a_pickle_is_not_loaded_without_its_owners_word(tmp_path: Path) -> None:
    file = tmp_path / "model.joblib"
    file.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    with pytest.raises(Stuck) as stuck:
        convert(Request(file=str(file), out=str(tmp_path / "out.onnx")), lambda _: None)
    assert stuck.value.reason == "untrusted"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "reason", "advice"),
    [
        (b"cno_such_module\nThing\n.", "missing", "pip install no_such_module"),
        (b"c__main__\nNoSuchThing\n.", "unreadable", "a module that can be imported"),
        (b"\x80\x04\x95broken", "unreadable", "save it again"),
        (b"\x80\x04]\x94.", "unknown", "the fitted estimator"),
    ],
    ids=["module", "class", "broken", "list"],
)
def test_a_pickle_that_does_not_open_says_what_would_help(
    content: bytes, reason: str, advice: str, tmp_path: Path
) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(content)
    request = Request(file=str(file), out=str(tmp_path / "out.onnx"), trusted=True)
    with pytest.raises(Stuck) as stuck:
        convert(request, lambda _: None)
    assert stuck.value.reason == reason
    assert advice in stuck.value.remedy


def test_rows_that_all_get_one_answer_are_warned_of(tmp_path: Path) -> None:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(X, X[:, 1])
    np.savez(tmp_path / "rows.npz", x=X[:1].repeat(5, axis=0))
    report = converted(model, tmp_path, sample=str(tmp_path / "rows.npz"))
    assert any("says little" in warning for warning in report.warnings)
