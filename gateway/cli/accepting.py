"""Accepting a partner's kit, and what is told of one.

The safety argument:

1. A kit is accepted with the hash that a person brings, and never with the one that was computed
   here.
2. Another kit takes the place of the one that is trusted only when that is said, and what was seen
   stays seen. An older kit never does.
3. What was lost is never made anew unsaid, and nothing that is whole is thrown away.
4. A release key that was replaced never comes back by a kit (`gateway.artifacts.trust`), and one
   that follows is trusted for what the trusted one signed, whoever brings it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.kit import KIT_LIMIT, Kit, parse_kit
from gateway.artifacts.release_keys import CHAIN_LIMIT, Chain, SignedSuccession, parse_chain
from gateway.artifacts.trust import TrustRecord, accepting
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import moment
from gateway.cli.reading import read_bounded, unverified
from gateway.cli.trust_folder import RecordLost, TrustFolder
from gateway.cli.trusting import followed


def accept_kit(folder: TrustFolder, kit: Kit, *, replace: bool, start_again: bool) -> None:
    """Trust a kit from now on; its hash was compared (`check_hash`).

    Args:
        folder: Where it is kept.
        kit: What to trust.
        replace: It may take the place of another.
        start_again: What had been seen is lost.

    Raises:
        CommandFailed: It may not be accepted so, or cannot be kept.
    """
    was_here = folder.was_here(kit.tenant)  # before the lock leaves its trace
    with folder.locked(kit.tenant):
        before = _before(folder, kit, was_here, replace=replace, start_again=start_again)
        try:
            folder.save(accepting(kit, time.time(), before))
        except StatementInvalid as error:
            raise unverified(error, "get the newest kit from the model's owner") from error
        finally:
            if not was_here:
                folder.forget(kit.tenant)  # where it was not kept, the next try is a first one, too


def follow_chain(folder: TrustFolder, chain: Chain) -> tuple[TrustRecord, TrustRecord]:
    """Trust the release keys of a chain that follow the trusted one; returns before and after.

    Raises:
        CommandFailed: They do not follow it, nothing is trusted of that tenant, or it cannot be
            kept.
    """
    folder.choose(chain.tenant)
    with folder.locked(chain.tenant):
        before = folder.load(chain.tenant)
        after = followed(before, chain.successions)
        if after != before:
            folder.save(after)
    return before, after


def read_chain(path: Path) -> Chain:
    """Read the file of release keys that follow one another.

    Raises:
        CommandFailed: It cannot be read, or is none.
    """
    try:
        return parse_chain(read_bounded(path, CHAIN_LIMIT + 1))
    except StatementInvalid as error:
        advice = "ask the owner for the file again, unchanged: not pasted, not opened and saved"
        raise unverified(error, advice) from error


def rows_of(record: TrustRecord) -> list[dict[str, Any]]:
    """Return what is trusted and was seen, a row for each model."""
    about = {"tenant": record.kit.tenant, "release_key": record.ring().newest}
    rows = []
    for model, seen in sorted(record.models.items()):
        names = [name for name, known in seen.versions.items() if known.created == seen.newest]
        newest = moment(seen.newest)
        rows.append(
            {**about, "model": model, "version": names[0] if names else "", "newest": newest}
        )
    return rows or [{**about, "model": "", "version": "", "newest": ""}]


def about_kit(kit: Kit) -> dict[str, Any]:
    """Return what there is to tell of a kit."""
    return {
        "tenant": kit.tenant,
        "release_key": kit.release_key,
        "owner_keys": list(kit.owner_keys),
        "created": kit.created,
    }


def read_kit(path: Path) -> Kit:
    """Read the file of a kit.

    Raises:
        CommandFailed: It cannot be read, or is none.
    """
    try:
        return parse_kit(read_bounded(path, KIT_LIMIT + 1))
    except StatementInvalid as error:
        advice = "ask the owner for the file again, unchanged: not pasted, not opened and saved"
        raise unverified(error, advice) from error


def check_hash(kit: Kit, told: str | None) -> None:
    """Compare a kit's hash with what a person brings.

    Raises:
        CommandFailed: They differ, or nothing was brought.
    """
    if told is None:
        raise CommandFailed(
            f"nothing was accepted; the hash of this file is {kit.digest()}",
            ExitCode.USAGE,
            "hear the hash from the owner over another channel, and give what you heard: --sha256",
        )
    if "".join(told.split()).lower() != kit.digest():
        raise CommandFailed(
            "the file does not have this hash: it is another kit, or the hash was misheard",
            ExitCode.UNVERIFIED,
            "hear the hash from the owner again; if it differs still, somebody changed the file",
        )


def _before(
    folder: TrustFolder, kit: Kit, was_here: bool, *, replace: bool, start_again: bool
) -> TrustRecord | None:
    """Return what is kept so far; what was lost or would be changed is not passed over.

    Raises:
        CommandFailed: A record is lost, or another kit is trusted, and no flag says to go on.
    """
    if start_again:
        if folder.has_record(kit.tenant):
            _check_lost(folder, kit.tenant)
        return None
    if not was_here and not folder.has_record(kit.tenant):  # nor did another accept one meanwhile
        return None
    record = folder.load(kit.tenant)
    if record.kit != kit and not replace:
        same = record.ring().newest == kit.release_key
        what = "the release key is the same" if same else "the release key is another one"
        raise CommandFailed(
            f"you trust another kit of this tenant; {what}",
            ExitCode.UNVERIFIED,
            "ask the owner over another channel why there is a new one; then: --replace",
        )
    return record


def _check_lost(folder: TrustFolder, tenant: str) -> None:
    """Refuse to start again over a record that is whole, or that cannot be looked at."""
    try:
        folder.load(tenant)
    except RecordLost:
        return
    what = "nothing is lost: what you trust and have seen is here"
    raise CommandFailed(what, ExitCode.USAGE, "leave out --start-again")


def check_known(folder: TrustFolder, kit: Kit, chain: Sequence[SignedSuccession] = ()) -> None:
    """Tell who makes a kit that the gateway shows another key than they trust.

    Raises:
        CommandFailed: It does.
    """
    if folder.was_here(kit.tenant):
        record = followed(folder.load(kit.tenant), chain)
        if record.ring().newest != kit.release_key:
            raise CommandFailed(
                "the gateway shows another release key than the kit that you accepted",
                ExitCode.UNVERIFIED,
                "hand nothing out; ask who runs the gateway, over another channel",
            )
