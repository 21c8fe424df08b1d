from __future__ import annotations

from typing import Any

import jsonschema
import msgspec
import pytest

from gateway.demo.contract import (
    Demo,
    DemoModel,
    DemoSite,
    DemoTenant,
    DemoUser,
    Input,
    schema,
)

DEMO = Demo(
    base_url="http://127.0.0.1:8080",
    issuer="http://127.0.0.1:8080",
    ca_file="/demo/ca.pem",
    log_keys={"demo.sealgate/platform": "demo.sealgate/platform+0+A"},
    tenants=(
        DemoTenant(
            name="clinic",
            client_id="clinic-app",
            client_secret="s",
            token_binding="none",
            models=(
                DemoModel(
                    name="digits",
                    version="1.0",
                    inputs=(Input(name="x", datatype="FP32", shape=(-1, 2), example=(0.5, 1.0)),),
                ),
            ),
        ),
    ),
    users=(DemoUser(name="o", tenant="clinic", role="officer", credential="/demo/o.json"),),
    sites=(DemoSite(name="north", tenant="clinic"),),
)


def written(demo: Demo) -> Any:
    return msgspec.json.decode(msgspec.json.encode(demo))


def test_what_is_written_fits_the_schema_and_reads_back() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(written(DEMO), schema())
    assert msgspec.json.decode(msgspec.json.encode(DEMO), type=Demo) == DEMO


def test_version_and_profile_are_always_written() -> None:
    found = written(DEMO)
    assert (found["version"], found["profile"]) == (1, "demo")


def test_the_fields_are_the_promised_ones() -> None:
    """Scripts of others read these: a change is a new version of the contract."""
    found = written(DEMO)
    assert set(found) == {
        "version", "profile", "base_url", "issuer", "ca_file", "log_keys", "tenants", "users",
        "sites",
    }  # fmt: skip
    assert set(found["tenants"][0]) == {
        "name", "client_id", "client_secret", "token_binding", "models",
    }  # fmt: skip
    assert set(found["tenants"][0]["models"][0]) == {"name", "version", "inputs", "personal"}
    assert set(found["tenants"][0]["models"][0]["inputs"][0]) == {
        "name", "datatype", "shape", "example",
    }  # fmt: skip
    assert set(found["users"][0]) == {"name", "tenant", "role", "credential"}
    assert set(found["sites"][0]) == {"name", "tenant"}


@pytest.mark.parametrize("field", sorted(written(DEMO)))
def test_nothing_of_it_may_be_missing(field: str) -> None:
    found = written(DEMO)
    del found[field]
    if field in ("version", "profile"):  # they have one value each
        assert msgspec.convert(found, Demo) == DEMO
        return
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, schema())
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(found, Demo)


@pytest.mark.parametrize(("field", "value"), [("version", 2), ("profile", "server")])
def test_another_version_is_not_mistaken_for_this_one(field: str, value: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**written(DEMO), field: value}, schema())
