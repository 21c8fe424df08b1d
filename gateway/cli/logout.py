"""`sealgate logout`: end the token that commands of a profile share."""

from __future__ import annotations

import typer

from gateway.cli.connection import connect
from gateway.cli.output import JsonFlag, ProfileOption, note, show

app = typer.Typer(help="End the token or the sign-in of your profile.", add_completion=False)


@app.command()
def logout(profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """End the token that commands of your profile share, here and at the gateway.

    The profile stays: the next command of a client asks for another token; a person signs in again
    (`sealgate login`). To shut a client out for good an administrator disables it.

    Example: sealgate logout

    Next: sealgate whoami
    """
    with connect(profile) as connection:
        ended = connection.sign_out()
    show({"ended": ended}, as_json=as_json)
    if not ended:
        note("no token was kept")
