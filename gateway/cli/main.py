"""The `sealgate` command: finds the command group, runs it, turns its end into an exit code.

Groups are imported when they are used, so that help and completion start fast. A distribution can
add groups, or commands to one of ours, by the entry-point group `sealgate.commands`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points, version
from typing import Any, Final, NoReturn

import click
import typer.main
from typer._completion_classes import completion_init
from typer.core import TyperGroup
from typer.main import get_install_completion_arguments

from gateway.cli.extras import EXTRAS, lacking
from gateway.cli.failures import CommandFailed, ExitCode, report

PLUGINS: Final = "sealgate.commands"
GROUPS: Final[dict[str, tuple[str, str]]] = {
    "init": ("gateway.cli.init", "Make a data folder and its first administrator."),
    "serve": ("gateway.cli.serve", "Run the gateway."),
    "demo": ("gateway.cli.demo", "Build a working place and show what it keeps."),
    "doctor": ("gateway.cli.doctor", "Look at a gateway's place and say what is wrong."),
    "backup": ("gateway.cli.backup", "Copy a gateway's place while it runs, and check a copy."),
    "restore": ("gateway.cli.restore", "Make a data folder from a backup."),
    "login": ("gateway.cli.login", "Sign in with a browser."),
    "whoami": ("gateway.cli.whoami", "Show how the gateway sees you."),
    "logout": ("gateway.cli.logout", "End the token or the sign-in of your profile."),
    "profile": ("gateway.cli.profiles", "List profiles, and choose one."),
    "call": ("gateway.cli.call", "Ask a model."),
    "headers": ("gateway.cli.headers", "Authenticate one request of another program."),
    "model": ("gateway.cli.model", "Publish, release and download models."),
    "audit": ("gateway.cli.audit", "Search, follow, verify and export the log."),
    "why": ("gateway.cli.why", "Tell why a request was refused, or answered."),
    "subject": ("gateway.cli.subject", "Find, show and erase a data subject."),
    "policy": ("gateway.cli.policy", "Show, check, publish, roll back and explain policies."),
    "tenant": ("gateway.cli.tenant", "Create, show and suspend tenants."),
    "client": ("gateway.cli.client", "Register clients, replace their secrets, shut them out."),
    "issuer": ("gateway.cli.issuer", "Show trusted issuers of tokens, and check a token of one."),
    "person": ("gateway.cli.person", "Invite people, give them roles, shut them out."),
    "keys": ("gateway.cli.keys", "List keys and replace them."),
    "approval": ("gateway.cli.approval", "Agree to what takes two, or not."),
    "federation": ("gateway.cli.federation", "Train with partner sites."),
    "artifact": ("gateway.cli.artifact", "Open, verify and inspect artifacts offline."),
    "partner": (
        "gateway.cli.partner",
        "Hand out or accept the keys that models are verified with.",
    ),
}
"""Name → module, and what the list of commands says of it."""
_PLUGIN_HELP: Final = {"site": "Take part in a federation from a partner site."}

_HELP: Final = """Deploy AI models without giving away the models, the data or the evidence.

Example: sealgate demo

Next: sealgate model --help
"""


class Root(TyperGroup):
    """All command groups, each imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, our own first."""
        del ctx
        return self._names

    @cached_property
    def _names(self) -> list[str]:
        # Help asks for each of two dozen commands, and each looks through all that is installed.
        return [*GROUPS, *sorted(set(_plugins()) - set(GROUPS))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a stand-in with name and help; `resolve_command` loads the real one."""
        if cmd_name not in self.list_commands(ctx):
            return None
        summary = GROUPS[cmd_name][1] if cmd_name in GROUPS else _PLUGIN_HELP.get(cmd_name, "")
        return click.Command(cmd_name, help=summary or "Added by another distribution.")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Import the group that was named."""
        try:
            name, found, rest = super().resolve_command(ctx, args)
        except click.UsageError as fault:
            meant = get_close_matches(args[0], self.list_commands(ctx))
            if not meant:
                raise
            guess = ", ".join(f"'{one}'" for one in meant)
            raise click.UsageError(f"{fault.message} Did you mean {guess}?", ctx) from fault
        return name, _load(name) if name and found is not None else found, rest


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(invoke(given))


def invoke(arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    as_json = "--json" in arguments
    try:
        result: Any = _root().main(arguments, prog_name="sealgate", standalone_mode=False)
    except CommandFailed as failure:
        report(failure, as_json=as_json)
        return failure.code
    except click.exceptions.NoArgsIsHelpError:  # it is shown; nothing was asked, nothing is wrong
        return ExitCode.OK
    except click.UsageError as fault:
        advice = f"{fault.ctx.command_path} --help" if fault.ctx else "sealgate --help"
        report(CommandFailed(_once(fault), ExitCode.USAGE, advice), as_json=as_json)
        return ExitCode.USAGE
    except click.exceptions.Exit as end:
        return end.exit_code
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except Exception as fault:
        failed = _expected(fault)
        if failed is None:
            raise
        report(failed, as_json=as_json)
        return failed.code
    return result if isinstance(result, int) else ExitCode.OK


def _once(fault: click.UsageError) -> str:
    """Return what is wrong in one line; typer and click both add the same guess."""
    parts = dict.fromkeys(re.split(r"(?<=[.?]) (?=Did you mean)", fault.format_message()))
    what = " ".join(parts).rstrip(".")
    return what[:1].lower() + what[1:]


def _root() -> Root:
    completion_init()
    show_version = click.Option(
        ["--version"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_show_version,
        help="Show the version.",
    )
    return Root(
        name="sealgate",
        help=_HELP,
        params=[show_version, *get_install_completion_arguments()],
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from gateway.cli.output import show_words

        show_words(f"sealgate {version('sealgate')}")
        ctx.exit()


def _plugins() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=PLUGINS)}


def _load(name: str) -> click.Command:
    """Import a group; commands that plugins add to one of ours are merged into it."""
    plugin = _plugins().get(name)
    if name not in GROUPS:
        assert plugin is not None
        return _loaded_plugin(plugin)
    command = _own(name)
    if plugin is not None and isinstance(command, click.Group):
        try:
            added = _loaded_plugin(plugin)
        except CommandFailed:
            return command  # the extra is not installed; our own commands work without it
        if isinstance(added, click.Group):
            for verb, one in added.commands.items():
                command.commands.setdefault(verb, one)
    return command


def _own(name: str) -> click.Command:
    """Import one of our modules: it has a Typer `app`, or one function of the command's name."""
    module = import_module(GROUPS[name][0])
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False)
        app.command(name)(getattr(module, name))
    return typer.main.get_command(app)


def _loaded_plugin(plugin: EntryPoint) -> click.Command:
    try:
        app = plugin.load()
    except ImportError as cause:
        raise CommandFailed(
            f"`{plugin.name}` needs an extra that is not installed",
            ExitCode.USAGE,
            "pip install 'sealgate[federated]'",
        ) from cause
    return typer.main.get_command(app) if isinstance(app, typer.Typer) else app


def _expected(fault: Exception) -> CommandFailed | None:
    """Turn an error of our packages, which has a code and a public text, into a failure.

    So is a package that an extra brings and that is not installed.
    """
    from gateway.client.errors import ClientFault

    if isinstance(fault, ModuleNotFoundError):
        known = [package for package in EXTRAS if f"{fault.name}.".startswith(f"{package}.")]
        return lacking(known) if known else None
    if isinstance(fault, ClientFault):
        return CommandFailed(fault.what, advice=fault.advice)
    public = getattr(fault, "public", None)
    if isinstance(public, str) and isinstance(getattr(fault, "code", None), str):
        problem = {"title": fault.code, "detail": public}  # type: ignore[attr-defined]
        return CommandFailed(public, advice=getattr(fault, "advice", ""), problem=problem)
    return None
