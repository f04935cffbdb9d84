"""The files, the two settings, and what is printed about them."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from itertools import groupby, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from admin.replay.difference import Comparison
from admin.replay.output import Change, Result, open_console, show, to_json
from admin.replay.source import Source, SourceError
from admin.replay.trial import QUARTER_MS, Trial
from chassis.config import ENVIRONMENT, Config, check, load, parse, read_file
from chassis.logs import open_log
from chassis.settings import PREFIX, SettingsError, exit_with, shown_value
from decision.record_format import RecordedRequest
from decision.settings import Settings, host_time_zone
from quota.store.interface import StoreError

EXIT_SAME = 0
EXIT_DIFFERENT = 1
EXIT_INPUT = 2
EXIT_NO_ROOM = 3
PORTION = 512


def compare(paths: Sequence[Path], new_file: Path, *, recorded_countries: bool, as_json: bool) -> int:
    """Do what admin.replay.command describes. Returns the exit code, or exits if a setting is wrong."""
    try:
        running = load(Settings)
        new, notes = _without_hiding(new_file)
    except SettingsError as error:
        exit_with(error)
    try:
        source = Source(paths, host_time_zone())
        comparison = _decide_all(source, running, new, recorded_countries=recorded_countries)
    except SourceError as error:
        typer.echo(f"mtpolicyctl replay: {error}", err=True)
        return EXIT_INPUT
    except (OSError, StoreError) as error:
        typer.echo(f"mtpolicyctl replay: counting needs room in the temporary directory: {error}", err=True)
        return EXIT_NO_ROOM
    result = Result(
        comparison,
        _changes(running.settings, new.settings),
        [*notes, *_notes(source, comparison, (running.settings, new.settings))],
        running.settings.time_zone_name,
    )
    if as_json:
        typer.echo(to_json(result))
    else:
        show(result, open_console())
    return EXIT_DIFFERENT if comparison.differing() else EXIT_SAME


def _without_hiding(path: Path) -> tuple[Config[Settings], list[str]]:
    """The new settings, each line of the file in force, with a note on the variables that would hide some.

    Raises SettingsError. The variables are gone afterwards: the settings in force must have been read.
    """
    file = read_file(path)
    keys: Iterable[str] = ()
    with suppress(SettingsError):  # `check` says what is wrong
        keys = parse(file)
    hiding = [name for key in keys if (name := PREFIX + key.upper()) in os.environ]
    for name in hiding:
        del os.environ[name]
    new = check(Settings, file)
    notes = [
        f"{name} is set in the environment and would hide the line of {path}: left aside" for name in hiding
    ]
    kept = [PREFIX + field.upper() for field, source in new.sources.items() if source == ENVIRONMENT]
    if kept:
        notes.append(f"from the environment, in both settings: {', '.join(kept)}")
    return new, notes


def _decide_all(
    source: Source, running: Config[Settings], new: Config[Settings], *, recorded_countries: bool
) -> Comparison:
    """Decide everything twice. Raises SourceError, OSError, StoreError."""
    log = open_log(service="replay", debug=0, log_format="keyvalue", stream=sys.stderr)
    comparison = Comparison()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="mtpolicyd-replay-")))
        before, now = (
            stack.enter_context(
                closing(
                    Trial(config.settings, directory / name, recorded_countries=recorded_countries, log=log)
                )
            )
            for name, config in (("before", running), ("now", new))
        )
        for portion in _portions(source.requests()):
            for request, *answers in zip(portion, before.answer(portion), now.answer(portion), strict=True):
                comparison.add(request, *answers)
    return comparison


def _portions(requests: Iterable[RecordedRequest]) -> Iterator[Sequence[RecordedRequest]]:
    """As many as are counted at once, all of one quarter of an hour."""
    for _, quarter in groupby(requests, lambda request: request.time_unix_ms // QUARTER_MS):
        while portion := list(islice(quarter, PORTION)):
            yield portion


def _changes(before: Settings, now: Settings) -> list[Change]:
    return [
        Change(field, *(shown_value(Settings, field, getattr(of, field)) for of in (before, now)))
        for field in Settings.model_fields
        if getattr(before, field) != getattr(now, field)
    ]


def _notes(source: Source, comparison: Comparison, both: tuple[Settings, Settings]) -> Iterator[str]:
    if source.malformed:
        examples = "; ".join(source.examples)
        yield f"{source.malformed} lines cannot be read, and were passed over; the first: {examples}"
    for path in source.without:
        yield f"{path} holds no mail of a user"
    if source.has_mail_log:
        yield "a mail log shows only what Postfix has accepted: what is refused now cannot be seen to pass"
    if comparison.hashed:
        yield f"{comparison.hashed} requests have hashed addresses: their countries are as recorded"
        networks = {
            name
            for settings in both
            for name in ("exempt_networks", "allowed_networks")
            if getattr(settings, name)
        }
        if networks:
            yield f"{' and '.join(sorted(networks))} could not be applied to hashed addresses"
    if comparison.unlike_recorded:
        yield (
            f"{comparison.unlike_recorded} requests were answered otherwise than by the settings in force: "
            "those of that time were others, or something was counted before the first request"
        )
