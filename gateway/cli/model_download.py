"""`sealgate model download`: a model as an encrypted file, verified unless one says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.connection import connect
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import JsonFlag, ProfileOption, show
from gateway.cli.shared_names import wire_name
from gateway.cli.trust_options import FromOption, TrustOption

Recipient = Annotated[
    str | None, typer.Option(help="age public key that the file is for; else that of -i.")
]
OwnIdentity = Annotated[Path | None, typer.Option("--identity", "-i", help="Your identity file.")]
DecryptTo = Annotated[
    Path | None, typer.Option(help="New file for the model, once it is verified; needs -i.")
]
Unverified = Annotated[
    bool, typer.Option("--unverified", help="Take the gateway's word for what it is.")
]
AllowOlder = Annotated[
    bool, typer.Option("--allow-older", help="Take an older release than you have seen.")
]


def download_model(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    version: Annotated[str, typer.Argument(help="Version of the model.")],
    out: Annotated[Path, typer.Option(help="Where the age file goes.")],
    recipient: Recipient = None,
    identity: OwnIdentity = None,
    decrypt_to: DecryptTo = None,
    role: Annotated[str, typer.Option(help="Which payload.")] = "graph",
    unverified: Unverified = False,
    allow_older: AllowOlder = False,
    tenant: FromOption = None,
    trust: TrustOption = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Get a model as an age file for one recipient key; goes on where it was cut off.

    It is verified with the partner's kit that you accepted before anything is fetched: the release
    key, both signatures, and that it is not older than what you have seen. Its signatures go beside
    it, to `OUT.release.json`.

    A model that another tenant shares is OWNER~MODEL; it is verified with the kit of its owner.

    Example: sealgate model download tumour 1.0 -i site.key --out tumour.onnx.age

    Next: sealgate artifact decrypt tumour.onnx.age -i site.key -o tumour.onnx
    """
    from gateway.cli.decrypting import decrypt_file
    from gateway.cli.download import Wanted, download_unverified, download_verified
    from gateway.cli.identity_file import read_identities
    from gateway.cli.reading import check_absent
    from gateway.cli.trust_folder import find_trust

    identities = read_identities(identity) if identity is not None else []
    if decrypt_to is not None:
        check_absent(decrypt_to)
    if decrypt_to is not None and identity is None:
        raise CommandFailed("--decrypt-to needs your identity", ExitCode.USAGE, "add -i site.key")
    if recipient is None and not identities:
        what = "say whom the file is for"
        raise CommandFailed(what, ExitCode.USAGE, "add --recipient age1…, or -i site.key")
    keys = [one for one in identities if recipient in (None, one.recipient)]
    if decrypt_to is not None and not keys:
        what = "your identity is not that of --recipient, so it could not open the file"
        raise CommandFailed(what, ExitCode.USAGE, "leave out --recipient, or --decrypt-to")
    to = recipient or keys[0].recipient
    wanted = Wanted(wire_name(name), version, role, to, out, tuple(keys))
    with connect(profile) as connection:
        if unverified:
            got = download_unverified(connection, wanted)
        else:
            got = download_verified(
                connection, wanted, find_trust(trust), tenant, allow_older=allow_older
            )
    told = got.told
    if decrypt_to is not None:
        release = got.decided.found.release if got.decided is not None else None
        decrypt_file(out, decrypt_to, identities, release)
        told = {**told, "decrypted": str(decrypt_to)}
    show(told, as_json=as_json)
