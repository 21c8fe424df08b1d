"""`sealgate partner`: hand out a kit, accept one, see what is trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.output import JsonFlag, ProfileOption, note, show, show_list
from gateway.cli.trust_options import TrustOption

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""Hand the keys of your tenant to a partner, or accept those of another.

    Example: sealgate partner kit tumour --owner-key owner.key --out clinic.kit

    Next: sealgate partner accept clinic.kit --sha256 HASH
    """,
)
KitFile = Annotated[Path, typer.Argument(help="The kit's file.")]


@app.command("kit")
def hand_out(
    models: Annotated[list[str], typer.Argument(help="Models that the partner will get.")],
    out: Annotated[Path, typer.Option(help="New file for the kit.")],
    owner_key: Annotated[
        list[Path] | None,
        typer.Option("--owner-key", help="Your signing key or its public half, as you hold it."),
    ] = None,
    also_told: Annotated[
        bool,
        typer.Option("--also-told", help="And keys that the gateway tells, as of a federation."),
    ] = False,
    trust: TrustOption = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make the file that a partner verifies your models with, and print its hash.

    Send the file any way you like, and tell the hash over another channel: by telephone, in person.

    Example: sealgate partner kit tumour --owner-key owner.key --out clinic.kit

    Next: sealgate partner accept clinic.kit --sha256 HASH
    """
    from gateway.cli.accepting import about_kit, check_known
    from gateway.cli.connection import connect
    from gateway.cli.kit_making import gather
    from gateway.cli.reading import appearing, check_absent
    from gateway.cli.trust_folder import find_trust
    from gateway.cli.trusting import warning

    check_absent(out)
    with connect(profile) as connection:
        made = gather(connection, models, owner_key or [], also_told=also_told)
    check_known(find_trust(trust), made.kit, made.successions)
    with appearing(out) as file:
        file.write(made.kit.encode())
    told = {"file": str(out), "sha256": made.kit.digest(), **about_kit(made.kit)}
    if made.unheld:
        told["told_by_gateway"] = list(made.unheld)
        told["warning"] = warning(
            "keys of owners are in it that only the gateway tells; name yours with --owner-key"
        )
    for version in made.left_out:
        note(f"`{version}` is signed by none of the keys: the kit does not cover it")
    show(told, as_json=as_json)
    if not as_json:
        note("tell the hash to your partner over another channel than the file")


@app.command()
def accept(
    kit: KitFile,
    sha256: Annotated[
        str | None, typer.Option(help="The hash, as the owner told you over another channel.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="In place of the kit that you trust so far.")
    ] = False,
    start_again: Annotated[
        bool, typer.Option("--start-again", help="After what you had seen was lost.")
    ] = False,
    trust: TrustOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Trust a tenant's keys from now on, after comparing the kit's hash.

    Example: sealgate partner accept clinic.kit --sha256 HASH

    Next: sealgate model download NAME VERSION -i site.key --out model.onnx.age
    """
    from gateway.cli.accepting import about_kit, accept_kit, check_hash, read_kit
    from gateway.cli.trust_folder import find_trust
    from gateway.cli.trusting import warning

    given = read_kit(kit)
    check_hash(given, sha256)
    accept_kit(find_trust(trust), given, replace=replace, start_again=start_again)
    told: dict[str, Any] = {"accepted": True, "sha256": given.digest(), **about_kit(given)}
    if start_again:
        told["warning"] = warning("what you had seen is lost: only the kit keeps old releases out")
    show(told, as_json=as_json)


@app.command("keys")
def hand_out_keys(
    model: Annotated[str, typer.Argument(help="A model that has a version.")],
    out: Annotated[Path, typer.Option(help="New file for the keys.")],
    trust: TrustOption = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write down how your release keys followed one another, for partners without the gateway.

    Each key names the next one under its signature: the file needs no hash. Who gets models by
    `model download` learns of a new key by itself.

    Example: sealgate partner keys tumour --out clinic.keys

    Next: sealgate partner follow clinic.keys
    """
    from gateway.artifacts.release_keys import Chain
    from gateway.cli.accepting import check_known
    from gateway.cli.connection import connect
    from gateway.cli.failures import CommandFailed, ExitCode
    from gateway.cli.kit_making import gather
    from gateway.cli.reading import appearing, check_absent
    from gateway.cli.trust_folder import find_trust

    check_absent(out)
    with connect(profile) as connection:
        made = gather(connection, [model], [])
    check_known(find_trust(trust), made.kit, made.successions)
    if not made.successions:
        what = "your release key is the first one, or followed one that was lost"
        advice = f"hand out a kit: sealgate partner kit {model} --out FILE"
        raise CommandFailed(what, ExitCode.USAGE, advice)
    chain = Chain(tenant=made.kit.tenant, successions=made.successions)
    with appearing(out) as file:
        file.write(chain.encode())
    newest = made.successions[-1].statement
    told = {"file": str(out), "tenant": chain.tenant, "number": newest.number}
    show({**told, "release_key": newest.after}, as_json=as_json)


@app.command()
def follow(
    keys: Annotated[Path, typer.Argument(help="File of release keys.")],
    trust: TrustOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Trust the release key that followed the one you trust, as that one itself has signed.

    Works offline. A key never comes back; one that was lost is followed by nothing: then the owner
    gives you a new kit.

    Example: sealgate partner follow clinic.keys

    Next: sealgate partner list
    """
    from gateway.cli.accepting import follow_chain, read_chain
    from gateway.cli.trust_folder import find_trust

    before, after = follow_chain(find_trust(trust), read_chain(keys))
    newest = after.ring().newest
    told = {
        "tenant": after.kit.tenant,
        "release_key": newest,
        "followed": newest != before.ring().newest,
    }
    show(told, as_json=as_json)


@app.command("show")
def show_kit(kit: KitFile, as_json: JsonFlag = False) -> None:
    """Show what a kit holds, and its hash. It is not accepted.

    Example: sealgate partner show clinic.kit

    Next: sealgate partner accept clinic.kit --sha256 HASH
    """
    from gateway.cli.accepting import about_kit, read_kit

    given = read_kit(kit)
    show({"sha256": given.digest(), **about_kit(given), "newest": given.newest}, as_json=as_json)


@app.command("list")
def list_trusted(trust: TrustOption = None, as_json: JsonFlag = False) -> None:
    """Show whom you trust, and the newest release of each model that you have seen.

    Example: sealgate partner list --json

    Next: sealgate partner accept clinic.kit --sha256 HASH
    """
    from gateway.cli.accepting import rows_of
    from gateway.cli.trust_folder import find_trust

    folder = find_trust(trust)
    rows = [row for tenant in folder.tenants() for row in rows_of(folder.load(tenant))]
    columns = ("tenant", "model", "version", "newest", "release_key")
    empty = "no partner's kit was accepted here; next: sealgate partner accept --help"
    show_list(rows, as_json=as_json, columns=columns, empty=empty)
