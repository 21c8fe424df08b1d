"""Files that people write: what is wrong is told with its line, its column and what helps."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.errors import SiteConfigInvalid
from federated.site.config import parse as parse_site
from gateway.errors import ConfigurationError
from gateway.settings import PREFIX, SETTINGS_FILE, load_settings
from gateway.toml_text import MAX_SHOWN, Place, TomlFault, parse_toml, place_of

SAFE = 'public_url = "http://127.0.0.1:8080"\naudit_origin = "audit.example"\n'
ISSUER = (
    '[[issuers]]\nissuer = "https://a.example"\naudience = "a"\ntenants = ["t"]\n'
    'clients = {c = "t"}\n'
)


def refused(folder: Path, text: str, **overrides: object) -> ConfigurationError:
    (folder / SETTINGS_FILE).write_text(SAFE + text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(folder, **overrides)
    return caught.value


@pytest.mark.parametrize(
    ("text", "place", "shown"),
    [
        ("port 8080\n", "line 3, column 6", "`port 8080`"),
        ("port = eighty\n", "line 3, column 8", "`port = eighty`"),
        ("port = 1\nport = 2\n", "line 4, column 9", "`port = 2`"),
        ('region = "eu\n', "line 3, column 13", '`region = "eu`'),
        ("[engines\n", "line 3, column 9", "`[engines`"),
        ("trusted_proxies = [\n", "line 3, column 20", "`trusted_proxies = [`"),
    ],
)
def test_a_file_that_is_no_toml_tells_line_column_and_text(
    tmp_path: Path, text: str, place: str, shown: str
) -> None:
    fault = refused(tmp_path, text)
    assert SETTINGS_FILE in fault.public
    assert f"at {place} ({shown})" in fault.public
    assert fault.advice


@pytest.mark.parametrize(
    ("text", "place", "near"),
    [
        ("prot = 1\n", "line 3, column 1", "port"),
        (f"{ISSUER}audeince = 1\n", "line 8, column 1", "audience"),
        (ISSUER + ISSUER.replace("audience", "audeince"), "line 10, column 1", "audience"),
        ('[engines.gpu]\n  pyhton = "x"\nproviders = ["p"]\n', "line 4, column 3", "python"),
    ],
)
def test_an_unknown_key_tells_its_place_and_the_nearest(
    tmp_path: Path, text: str, place: str, near: str
) -> None:
    fault = refused(tmp_path, text)
    assert f"is not a setting (`{SETTINGS_FILE}`, {place})" in fault.public
    assert fault.advice == f"did you mean `{near}`?"


def test_a_value_that_is_not_allowed_tells_its_place_and_is_not_repeated(tmp_path: Path) -> None:
    fault = refused(tmp_path, 'region = "eu"\nport = 70000\n')
    assert f"`{SETTINGS_FILE}`, line 4, column 1" in fault.public
    assert "70000" not in fault.public


def test_a_value_from_elsewhere_is_not_put_down_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "(--port)" in refused(tmp_path, "port = 1\n", port=70_000).public
    monkeypatch.setenv("SEALGATE_PORT", "70000")
    assert "(SEALGATE_PORT)" in refused(tmp_path, "port = 1\n").public


def test_a_variable_that_is_no_setting_tells_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}PROT", "1")
    assert refused(tmp_path, "").advice == "did you mean `SEALGATE_PORT`?"


@pytest.mark.parametrize(
    "text",
    [
        'keystore_secret = "hunter2\n',
        "database_url = postgresql://gate:hunter2@db/gate\n",
        "traces_endpoint = https://u:hunter2@collector/v1\n",
        'API_Token "hunter2"\n',
    ],
)
def test_a_line_with_a_secret_is_told_without_it(tmp_path: Path, text: str) -> None:
    assert "hunter2" not in refused(tmp_path, text).public


def test_what_is_told_of_a_line_is_bounded_and_printable(tmp_path: Path) -> None:
    fault = refused(tmp_path, "a \x1b[31m" + "b" * 1000 + "\n")
    assert fault.public.isprintable()
    assert len(fault.public) < 3 * MAX_SHOWN


def test_a_file_that_is_not_utf8_tells_where() -> None:
    with pytest.raises(TomlFault) as caught:
        parse_toml(b'a = 1\nb = "\xff"\n')
    assert "line 2, column 6" in caught.value.what


SITE = (
    'name = "north"\ngateway = "gw.example:8443"\nca_file = "ca.pem"\nkey_file = "node.key"\n'
    'data = "rows.csv"\nstate = "state"\n'
)


@pytest.mark.parametrize(
    ("text", "told", "advice"),
    [
        (SITE + "lable = 1\n", "line 7, column 1", "did you mean `label`?"),
        (SITE + "label = 1\n", "line 7, column 1", "its settings are name"),
        (SITE + "minimum_rows 1\n", "line 7, column 14 (`minimum_rows 1`)", "write `name = value`"),
        (SITE.replace("name", "nam", 1), "line 1, column 1", "did you mean `name`?"),
    ],
)
def test_the_file_of_a_site_tells_place_and_remedy(text: str, told: str, advice: str) -> None:
    with pytest.raises(SiteConfigInvalid) as caught:
        parse_site(text.encode(), Path("/site"))
    assert told in caught.value.public
    assert advice in caught.value.advice


def test_a_place_is_that_of_the_key_and_of_its_own_table() -> None:
    text = 'a = 1\n[t]\n  "b" = 2\n[[x.y]]\nc = 1\n[[x.y]]\nc.d = 2\n'
    assert place_of(text, ("a",)) == Place(1, 1)
    assert place_of(text, ("t", "b")) == Place(3, 3)
    assert place_of(text, ("x", "y", 1, "c", "d")) == Place(7, 1)
    assert place_of(text, ("x", "y", 0, "other")) == Place(4, 1)
    assert place_of(text, ("nowhere",)) is None


@given(st.binary(max_size=200))
def test_whatever_the_bytes_the_answer_is_a_table_or_our_fault(data: bytes) -> None:
    with contextlib.suppress(TomlFault):
        found, text = parse_toml(data)
        for key in found:
            place_of(text, (key,))
