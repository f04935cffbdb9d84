"""`mtpolicyctl`, the admin's command. Services add their own commands: entry points `mtpolicyd.commands`."""

import asyncio
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated

import typer

from chassis.config import (
    DEFAULT,
    Config,
    ConfigFile,
    check,
    config_path,
    in_force,
    load,
    read_file,
    tell_refused,
)
from chassis.settings import (
    PREFIX,
    SERVICES,
    ServiceSettings,
    SettingsError,
    declarations,
    exit_with,
    explanation,
    registered,
    shown_value,
)

COMMANDS = "mtpolicyd.commands"

app = typer.Typer(
    help="Run and ask univention-mtpolicyd, the policy service for Postfix.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command()
def run() -> None:
    """Start frontend, decision and quota on this host; Ctrl-C or SIGTERM stops them."""
    settings = {name: config.settings for name, config in _configs_in_force().items()}
    raise typer.Exit(asyncio.run(_run(settings)))


@app.command("check-config")
def check_config(
    file: Annotated[Path | None, typer.Argument(help="The file; default: MTPOLICYD_CONFIG.")] = None,
) -> None:
    """Say what is wrong with a settings file. Exit code 0: nothing; 2: something, a line for each."""
    path = file or config_path()
    if path is None:
        exit_with(SettingsError(["name a file, or set MTPOLICYD_CONFIG"]))
    # The file alone is asked about: no variable of the environment may hide what is wrong in it.
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    try:
        configs = _load_all(registered(), read_file(path))
    except SettingsError as error:
        exit_with(error)
    _tell_doubts(configs)
    typer.echo(f"{path} is good")


@app.command("show-config")
def show_config(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Print the settings that a start would bring in force, each with where its value comes from.

    While the file is wrong these are those of the last good copies. Exit code 2: there is none.
    """
    configs = _configs_in_force()
    rows = {
        field: {
            "value": shown_value(cls, field, value := getattr(config.settings, field)),
            "source": config.sources[field],
            "meaning": explanation(cls, field, value),
        }
        for config in configs.values()
        for cls in [type(config.settings)]
        for field in cls.model_fields
    }
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        width = max(map(len, rows))
        for name, row in rows.items():
            notes = [row["meaning"], "" if row["source"] == DEFAULT else f"({row['source']})"]
            typer.echo("    ".join([f"{name:<{width}}  {row['value']}", *filter(None, notes)]))
    _tell_doubts(configs)


@app.command()
def settings(
    toml: Annotated[bool, typer.Option("--toml", help="Print an example of the settings file.")] = False,
) -> None:
    """Print every setting as a Markdown table: name, default, what is allowed, what it does."""
    for line in settings_example() if toml else settings_table():
        typer.echo(line)


def settings_table() -> list[str]:
    """The lines of the settings table, as it stands in the README."""
    classes = registered()
    lines = ["| setting | default | allowed | what it does |", "|---|---|---|---|"]
    for item in declarations(classes[name] for name in reversed(SERVICES)):
        default = f"`{item.default}`" if item.default else "(empty)"
        lines.append(f"| `{item.name}` | {default} | {item.allowed} | {item.description} |")
    return lines


def settings_example() -> list[str]:
    """The lines of an example file: every setting with its default, commented out."""
    classes = registered()
    lines = [
        "# Settings of univention-mtpolicyd. MTPOLICYD_CONFIG names this file.",
        "# A change is in force within two seconds, except where a restart is named.",
        "# A variable of the environment (MTPOLICYD_THRESHOLD=500) beats the line here.",
    ]
    for item in declarations(classes[name] for name in reversed(SERVICES)):
        lines += [
            "",
            f"# {item.description[:1].upper()}{item.description[1:]}.",
            f"# Allowed: {item.allowed}." + (" Needs a restart." if item.needs_restart else ""),
            f"#{item.key} = {item.toml}",
        ]
    return lines


def _load_all(
    classes: Mapping[str, type[ServiceSettings]], file: ConfigFile | None = None
) -> dict[str, Config[ServiceSettings]]:
    """Every service's settings. Raises SettingsError with what is wrong in any of them."""
    lines: list[str] = []
    configs = {}
    for name in reversed(SERVICES):
        try:
            configs[name] = check(classes[name], file) if file else load(classes[name])
        except SettingsError as error:
            lines += error.lines
    if lines:
        raise SettingsError(dict.fromkeys(lines))
    return configs


def _configs_in_force() -> dict[str, Config[ServiceSettings]]:
    """Every service's settings as a start would take them, or exit code 2."""
    classes = registered()
    try:
        return _load_all(classes)
    except SettingsError as error:
        try:
            started = {name: in_force(name, classes[name]) for name in reversed(SERVICES)}
        except SettingsError:
            exit_with(error)
        tell_refused(error, started.values())
        return {name: one.config for name, one in started.items()}


def _tell_doubts(configs: Mapping[str, Config[ServiceSettings]]) -> None:
    for doubt in dict.fromkeys(doubt for config in configs.values() for doubt in config.doubts):
        typer.echo(f"univention-mtpolicyd: warning: {doubt}", err=True)


async def _run(settings: Mapping[str, ServiceSettings]) -> int:
    # Here, since no other command needs it and what it imports.
    from chassis.launcher import Launcher

    return await Launcher(settings).run()


def main() -> None:
    """The console script."""
    add_commands(_wanted(sys.argv[1:]))
    app()


def add_commands(points: Iterable[EntryPoint]) -> None:
    """Load commands and add them to ours."""
    for point in sorted(points, key=lambda point: point.name):
        command = point.load()
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=point.name)
        else:
            app.command(point.name)(command)


def _wanted(words: Sequence[str]) -> Iterable[EntryPoint]:
    """The commands that these arguments can mean: the one that they name, none if it is one of ours, or all.

    What a command imports takes longer than what it does: nobody shall wait for that of the others.
    """
    points = entry_points(group=COMMANDS)
    own = {one.name or one.callback.__name__ for one in app.registered_commands if one.callback}
    # The shell's completion, too, comes without words.
    if words and words[0] in own:
        return ()
    return points.select(name=words[0] if words else "") or points
