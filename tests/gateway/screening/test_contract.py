from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gateway.artifacts.manifest import TensorSpec
from gateway.screening.calibration import observed_range
from gateway.screening.contract import Contract, ContractFailure, contract_for
from gateway.screening.profile import Range
from tests.gateway.screening.test_profile import profile

FEATURES = TensorSpec(name="features", datatype="FP32", shape=(-1, 3))
COUNTS = TensorSpec(name="counts", datatype="INT64", shape=(-1, 2))
WORDS = TensorSpec(name="words", datatype="BYTES", shape=(-1,))
ONE = Contract([FEATURES], max_rows=4)


def failure(contract: Contract, **arrays: Any) -> ContractFailure | None:
    return contract.check({name: np.asarray(array) for name, array in arrays.items()})


def floats(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


def test_what_fits_passes() -> None:
    assert failure(ONE, features=floats(1, 3)) is None
    assert failure(ONE, features=floats(4, 3)) is None
    both = Contract([FEATURES, COUNTS, WORDS], max_rows=4)
    words = np.array(["a", "b"], dtype=object)
    counts = np.zeros((2, 2), np.int64)
    assert failure(both, features=floats(2, 3), counts=counts, words=words) is None


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((1, 3)), "datatype"),
        (np.zeros((1, 3), np.int32), "datatype"),
        (floats(1, 4), "shape"),
        (floats(3), "shape"),
        (floats(1, 3, 1), "shape"),
        (np.float32(1.0), "shape"),
        (floats(0, 3), "rows"),
        (floats(5, 3), "too_many_rows"),
        (np.array([[0, np.nan, 0]], np.float32), "not_finite"),
        (np.array([[0, np.inf, 0]], np.float32), "not_finite"),
    ],
)
def test_what_does_not_fit_fails_for_its_reason(array: Any, reason: str) -> None:
    assert failure(ONE, features=array) == ContractFailure(reason, "features")  # type: ignore[arg-type]


def test_inputs_are_those_of_the_manifest() -> None:
    assert failure(ONE) == ContractFailure("inputs")
    assert failure(ONE, other=floats(1, 3)) == ContractFailure("inputs", "features")
    assert failure(ONE, features=floats(1, 3), other=floats(1, 3)) == ContractFailure("inputs")


def test_inputs_agree_on_their_rows() -> None:
    two = Contract([FEATURES, COUNTS], max_rows=4)
    counts = np.zeros((3, 2), np.int64)
    assert failure(two, features=floats(2, 3), counts=counts) == ContractFailure("rows", "counts")


def test_all_elements_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.screening.contract.MAX_ELEMENTS", 5)
    assert failure(ONE, features=floats(2, 3)) == ContractFailure("too_large", "features")


def test_a_fixed_number_of_rows_is_a_size_like_any_other() -> None:
    fixed = Contract([TensorSpec(name="x", datatype="FP32", shape=(2, 3))], max_rows=1)
    assert failure(fixed, x=floats(2, 3)) is None
    assert failure(fixed, x=floats(1, 3)) == ContractFailure("shape", "x")


def test_ranges_one_pair_or_one_a_column() -> None:
    single = Contract([FEATURES], max_rows=4, ranges={"features": Range((0.0,), (1.0,))})
    columns = Range((0.0, 0.0, -5.0), (1.0, 10.0, 5.0))
    each = Contract([FEATURES], max_rows=4, ranges={"features": columns})
    row = np.array([[1.0, 5.0, -5.0]], np.float32)
    assert failure(each, features=row) is None
    assert failure(single, features=row) == ContractFailure("out_of_range", "features")
    row[0, 2] = np.nan
    assert failure(each, features=row) == ContractFailure("not_finite", "features")


def test_ranges_of_whole_numbers() -> None:
    counts = Contract([COUNTS], max_rows=4, ranges={"counts": Range((0.0,), (255.0,))})
    assert failure(counts, counts=np.array([[0, 255]])) is None
    assert failure(counts, counts=np.array([[0, 256]])) == ContractFailure("out_of_range", "counts")


@pytest.mark.parametrize(
    ("spec", "name", "bounds"),
    [
        (FEATURES, "other", Range((0.0,), (1.0,))),
        (FEATURES, "features", Range((0.0, 0.0), (1.0, 1.0))),
        (FEATURES, "features", Range((0.0,), ())),
        (WORDS, "words", Range((0.0,), (1.0,))),
    ],
)
def test_a_range_that_does_not_fit_is_refused_at_once(
    spec: TensorSpec, name: str, bounds: Range
) -> None:
    with pytest.raises(ValueError, match="a range"):
        Contract([spec], max_rows=1, ranges={name: bounds})


def test_the_owners_range_wins_over_the_observed_one() -> None:
    row = np.full((1, 3), 5.0, np.float32)
    observed = contract_for([FEATURES], max_rows=4, profile=profile())
    assert failure(observed, features=row) == ContractFailure("out_of_range", "features")
    declared = {"features": Range((0.0,), (9.0,))}
    stated = contract_for([FEATURES], max_rows=4, profile=profile(), declared=declared)
    assert failure(stated, features=row) is None
    assert failure(contract_for([FEATURES], max_rows=4), features=row) is None


def test_the_observed_range_is_widened_by_its_width() -> None:
    columns = observed_range(np.array([[0.0, 5.0], [2.0, 5.0]]))
    assert (columns.low, columns.high) == ((-2.0, 0.0), (4.0, 10.0))
    image = observed_range(np.array([[[0.0, 1.0]]]))
    assert (image.low, image.high) == ((-1.0,), (2.0,))


def spec(name: str, shape: tuple[int, ...], *symbols: str, **more: Any) -> TensorSpec:
    datatype = more.pop("datatype", "FP32")
    return TensorSpec(name=name, datatype=datatype, shape=shape, symbols=symbols, **more)


def test_first_dimensions_agree_where_their_symbols_do() -> None:
    network = Contract([spec("nodes", (-1, 3), "n", ""), spec("edges", (-1,), "m")], max_rows=4)
    assert failure(network, nodes=floats(2, 3), edges=floats(7)) is None
    assert failure(network, nodes=floats(2, 3), edges=floats(0)) is None, "a graph without edges"
    assert failure(network, nodes=floats(0, 3), edges=floats(7)) == ContractFailure("rows", "nodes")
    tied = Contract([spec("a", (-1,), "n"), spec("b", (-1,), "n")], max_rows=4)
    assert failure(tied, a=floats(2), b=floats(3)) == ContractFailure("rows", "b")


def test_the_rows_of_a_request_do_not_depend_on_the_order_of_its_inputs() -> None:
    network = Contract(
        [
            spec("nodes", (-1, 3), "n", ""),
            spec("edges", (-1,), "m"),
            spec("k", (1,), optional=True),
        ],
        max_rows=4,
    )
    given = {"k": floats(1), "edges": floats(7), "nodes": floats(2, 3)}
    assert network.check(given) is None
    assert network.rows(given) == 2
    fixed = Contract([spec("x", (2, 3))], max_rows=4)
    assert fixed.rows({"x": floats(2, 3)}) == 2
    assert Contract([spec("x", ())], max_rows=4).rows({"x": floats()}) == 1


def test_an_input_with_a_default_may_be_left_out_and_is_held_to_its_contract() -> None:
    scaled = Contract([FEATURES, spec("k", (1,), optional=True)], max_rows=4)
    assert failure(scaled, features=floats(1, 3)) is None
    assert failure(scaled, features=floats(1, 3), k=floats(1)) is None
    assert failure(scaled, features=floats(1, 3), k=floats(2)) == ContractFailure("shape", "k")
    assert failure(scaled, k=floats(1)) == ContractFailure("inputs", "features")
    assert failure(scaled, features=floats(1, 3), other=floats(1)) == ContractFailure("inputs")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_pass_where_the_manifest_allows_them(value: float) -> None:
    row = np.array([[0.5, value, 0.5]], np.float32)
    free = [spec("x", (-1, 3), allow_nan=True)]
    assert failure(Contract(free, max_rows=4), x=row) is None
    bounded = Contract(free, max_rows=4, ranges={"x": Range((0.0,), (1.0,))})
    assert failure(bounded, x=row) is None
    row[0, 0] = 2.0
    assert failure(bounded, x=row) == ContractFailure("out_of_range", "x")


@pytest.mark.parametrize(("bits", "reason"), [(0x3F80, None), (0x7FC0, "not_finite")])
def test_a_bfloat16_is_its_bits(bits: int, reason: str | None) -> None:
    contract = Contract([spec("x", (-1,), datatype="BF16")], max_rows=4)
    found = failure(contract, x=np.array([bits], np.uint16))
    assert (found.reason if found else None) == reason


def test_the_observed_range_is_that_of_the_only_input_that_must_be_there() -> None:
    row = np.full((1, 3), 5.0, np.float32)
    inputs = [FEATURES, spec("k", (1,), optional=True)]
    observed = contract_for(inputs, max_rows=4, profile=profile())
    assert failure(observed, features=row) == ContractFailure("out_of_range", "features")
