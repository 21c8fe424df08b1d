"""What earlier releases stored of sharing becomes offers, and loses nothing else."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, make_url, text

from gateway.storage.database import MIGRATIONS, open_database
from gateway.storage.stores import sql_stores
from tests.contracts.backends import POSTGRESQL

BEFORE = "0003"


@pytest.fixture(params=["sqlite", POSTGRESQL])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/control.db"
    return _another_database(str(request.getfixturevalue("postgresql_url")))


def test_a_list_of_tenants_becomes_an_offer_to_each(url: str) -> None:
    _of_before(url)
    opened = open_database(url)
    stores = sql_stores(opened)
    found = stores.registry.get_model("acme", "ecg")
    assert found is not None
    assert (found.personal, found.created) == (True, 7)
    offers = sorted(found.sharings, key=lambda one: one.tenant)
    assert [one.tenant for one in offers] == ["other", "third"]
    assert len({one.id for one in offers}) == 2
    for offer in offers:
        assert (offer.infer, offer.download, offer.accepted) == (True, False, None)
        assert (offer.versions, offer.purposes, offer.until) == (frozenset(), frozenset(), None)
        assert (offer.offered, offer.offered_by) == (7, "owner")
    assert stores.pending.list_pending(after=(-1, ""), limit=9) == []
    opened.close()


def _another_database(url: str) -> str:
    """Make a database that no release has seen, on the server of all tests."""
    server = make_url(url).set(drivername="postgresql+psycopg")
    name = f"before_{secrets.token_hex(4)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _of_before(url: str) -> None:
    """Make a database as the release before kept it, with a model and its list."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, BEFORE)
        connection.execute(
            text(
                "INSERT INTO model (tenant, name, personal, data_class, created, created_by)"
                " VALUES ('acme', 'ecg', true, 'health', 7, 'owner')"
            )
        )
        for tenant in ("third", "other"):
            connection.execute(
                text("INSERT INTO model_share VALUES ('acme', 'ecg', :tenant)"), {"tenant": tenant}
            )
        connection.execute(
            text(
                "INSERT INTO pending (id, tenant, kind, facts_json, at)"
                " VALUES ('p', 'acme', 'share', '{}', 1)"
            )
        )
    engine.dispose()
