"""`mtpolicyctl`, the admin's command. Services add their own commands: entry points `mtpolicyd.commands`."""

import asyncio
from collections.abc import Mapping
from importlib.metadata import entry_points

import typer

from chassis.launcher import SERVICES, Launcher
from chassis.settings import ServiceSettings, SettingsError, declarations, exit_with, load, registered

app = typer.Typer(
    help="Run and ask univention-mtpolicyd, the policy service for Postfix.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command()
def run() -> None:
    """Start frontend, decision and quota on this host; Ctrl-C or SIGTERM stops them."""
    classes = registered()
    lines: list[str] = []
    settings: dict[str, ServiceSettings] = {}
    for name in SERVICES:
        try:
            settings[name] = load(classes[name])
        except SettingsError as error:
            lines += error.lines
    if lines:
        exit_with(SettingsError(dict.fromkeys(lines)))
    raise typer.Exit(asyncio.run(_run(settings)))


@app.command()
def settings() -> None:
    """Print every setting as a Markdown table: name, default, what is allowed, what it does."""
    for line in settings_table():
        typer.echo(line)


def settings_table() -> list[str]:
    """The lines of the settings table, as it stands in the README."""
    classes = registered()
    lines = ["| setting | default | allowed | what it does |", "|---|---|---|---|"]
    for item in declarations(classes[name] for name in reversed(SERVICES)):
        default = f"`{item.default}`" if item.default else "(empty)"
        lines.append(f"| `{item.name}` | {default} | {item.allowed} | {item.description} |")
    return lines


async def _run(settings: Mapping[str, ServiceSettings]) -> int:
    return await Launcher(settings).run()


def main() -> None:
    """The console script."""
    for point in sorted(entry_points(group="mtpolicyd.commands"), key=lambda point: point.name):
        app.command(point.name)(point.load())
    app()
