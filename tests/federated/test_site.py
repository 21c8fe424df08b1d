from __future__ import annotations

import contextlib
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_private_key,
)
from hypothesis import example, given
from hypothesis import strategies as st

from federated.aggregation import Contribution
from federated.errors import DataRefused, FederatedError, SiteConfigInvalid
from federated.rounds import Instruction, SiteFailure
from federated.site import config as site_config
from federated.site import data as site_data
from federated.site.answer import answer
from federated.site.data import Table
from federated.site.keys import generate, public_line
from federated.task import TrainingSettings

GOOD = (
    'name = "north"\ngateway = "gw.example:8443"\nca_file = "ca.pem"\nkey_file = "keys/node.key"\n'
    'data = "rows.npz"\nstate = "state"\n'
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_text("-")
    (tmp_path / "rows.npz").write_bytes(b"-")
    generate(tmp_path / "keys" / "node.key")
    (tmp_path / "site.toml").write_text(GOOD)
    return tmp_path / "site.toml"


def test_key_is_p384_private_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "new" / "node.key"
    line = generate(path)
    assert line.startswith("ecdsa-sha2-nistp384 ")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = load_ssh_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert public_line(path) == line
    before = path.read_bytes()
    with pytest.raises(SiteConfigInvalid, match="exists"):
        generate(path)
    assert path.read_bytes() == before


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    generate(path)
    path.chmod(0o640)
    with pytest.raises(SiteConfigInvalid, match="0600"):
        public_line(path)


def test_other_curves_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    path.chmod(0o600)
    with pytest.raises(SiteConfigInvalid, match="P-384"):
        public_line(path)


def test_configuration_is_relative_to_its_file(site: Path) -> None:
    config = site_config.load(site)
    assert config.data == site.parent / "rows.npz"
    assert config.minimum_rows == 20


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('"north"', '"../x"', "name"),
        ('"gw.example:8443"', '"gw.example"', "gateway"),
        ('"gw.example:8443"', '"https://gw.example:1"', "gateway"),
        ('"gw.example:8443"', '"gw.example:70000"', "gateway"),
        ('"ca.pem"', '"absent.pem"', "ca_file"),
        ('"rows.npz"', '"absent.npz"', "data"),
        ('"rows.npz"', '"ca.pem"', "data"),
        ('"keys/node.key"', '"absent"', "key file"),
        ('"keys/node.key"', '"ca.pem"', "key file"),
        ('name = "north"', "", "name"),
        ('name = "north"', 'name = "north"\nnmae = 1', "nmae"),
        ('name = "north"', 'name = "north"\nminimum_rows = 0', "minimum_rows"),
        ('name = "north"', "name = [", "TOML"),
    ],
)
def test_errors_say_what_to_change(site: Path, before: str, after: str, says: str) -> None:
    site.write_text(GOOD.replace(before, after))
    with pytest.raises(SiteConfigInvalid, match=says):
        site_config.load(site)


def test_the_example_is_a_configuration() -> None:
    example = Path(__file__).parents[2] / "deploy" / "site" / "site.toml"
    assert site_config.parse(example.read_bytes(), Path("/x")).name == "north-hospital"


@given(st.binary(max_size=200) | st.text(max_size=80).map(str.encode))
def test_any_bytes_end_as_a_configuration_or_our_error(data: bytes) -> None:
    for content in (data, GOOD.encode() + data):
        with contextlib.suppress(SiteConfigInvalid):
            site_config.parse(content, Path("/x"))


def test_tables(tmp_path: Path) -> None:
    x, y = np.arange(6.0).reshape(3, 2), np.array([0, 1, 1])
    np.savez(tmp_path / "t.npz", x=x, y=y)
    (tmp_path / "t.csv").write_text("a,label,b\n0,0,1\n2,1,3\n4,1,5\n")
    for name in ("t.npz", "t.csv"):
        table = site_data.load(tmp_path / name, "label")
        np.testing.assert_array_equal(table.features, x)
        np.testing.assert_array_equal(table.labels, y)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "a,b\n1,2\n",
        "a,label\n1,secret\n",
        "a,label\n1\n",
        "a,label\nnan,1\n",
        "a,label\n1,7\n",
        "a,label\n",
    ],
)
def test_bad_tables_are_refused_without_repeating_them(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(DataRefused) as refusal:
        site_data.load(tmp_path / "t.csv", "label")
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
@given(data=st.binary(max_size=200))
@example(data=b"PK\x05\x06")  # an archive without a directory: its file was left open
def test_any_file_ends_as_a_table_or_our_error(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(data)
    with contextlib.suppress(DataRefused):
        site_data.load(path, "label")


def table(rows: int = 30) -> Table:
    random = np.random.default_rng(0)
    features = random.normal(size=(rows, 2))
    return Table(features, (features[:, 0] > 0).astype(float))


def train_instruction(**changes: Any) -> Instruction:
    fields: dict[str, Any] = {
        "operation": "train",
        "round": 1,
        "features": 2,
        "vector": np.array([0.0, 0, 1, 1, 0, 0, 0]),
        "training": TrainingSettings(5, 0.1, 0.0),
    }
    return Instruction(**{**fields, **changes})


def test_a_site_answers_with_sums_or_parameters_only() -> None:
    given_sums = answer(
        train_instruction(operation="sums", vector=np.zeros(0)), table, site="s", minimum_rows=20
    )
    assert isinstance(given_sums, Contribution)
    assert (given_sums.rows, given_sums.vector.shape) == (30, (4,))
    trained = answer(train_instruction(), table, site="s", minimum_rows=20)
    assert isinstance(trained, Contribution)
    assert trained.vector.shape == (3,)
    assert set(trained.metrics) == {"loss", "accuracy"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"operation": "rows"}, "wire_invalid"),
        ({"features": 3}, "wrong_shape"),
        ({"vector": np.zeros(6)}, "wrong_shape"),
        ({"vector": np.full(7, np.nan)}, "not_finite"),
        ({"vector": np.zeros(7)}, "wire_invalid"),
        ({"training": TrainingSettings(0, 0.1, 0.0)}, "wire_invalid"),
        ({"training": TrainingSettings(10**9, 0.1, 0.0)}, "wire_invalid"),
    ],
)
def test_instructions_are_checked(changes: dict[str, Any], code: str) -> None:
    instruction = train_instruction(**changes)
    assert answer(instruction, table, site="s", minimum_rows=1) == SiteFailure("s", code)


def test_too_few_rows() -> None:
    given_answer = answer(train_instruction(), lambda: table(5), site="s", minimum_rows=20)
    assert given_answer == SiteFailure("s", "too_few_rows")


def test_a_fault_leaves_as_a_word() -> None:
    def broken() -> Table:
        raise RuntimeError("patient 7 has no value")

    assert answer(train_instruction(), broken, site="s", minimum_rows=1) == SiteFailure(
        "s", "site_fault"
    )


def test_every_error_has_a_code_of_its_own() -> None:
    def tree(kind: type[FederatedError]) -> list[type[FederatedError]]:
        return [kind, *(leaf for child in kind.__subclasses__() for leaf in tree(child))]

    codes = [kind.code for kind in tree(FederatedError)]
    assert len(set(codes)) == len(codes)
