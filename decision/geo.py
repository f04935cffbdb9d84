"""`mtpolicyctl geo`: what the country data says, and how it is kept up to date."""

import asyncio
import json
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from prometheus_client import Counter
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup
from yarl import URL

from chassis.config import load_or_exit
from decision.countries import name_of
from decision.country_data import CountryData
from decision.country_files import open_databases
from decision.explanation import Explainer, Explanation
from decision.geo_fetch import BOUNDS, Bounds
from decision.geo_providers import (
    PROVIDERS,
    AccountError,
    Provider,
    ProviderName,
    authorization_of,
    provider_of,
)
from decision.geo_update import Report, Updated, UpdateError, update
from decision.origins import Origins
from decision.settings import Settings

EXIT_REFUSED = 1
EXIT_FAILED = 1
EXIT_NO_ADDRESS = 2
# Where nobody looks at a terminal a line is not to be broken.
PLAIN_WIDTH = 500
_SHOW = "show"


class ShowByDefault(TyperGroup):
    """`geo IP` is `geo show IP`: what is no command is an argument of that one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [_SHOW, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=ShowByDefault,
    help="Show what the country data says of addresses (`geo IP...`), or fetch new data (`geo update`).",
    subcommand_metavar="[IP]... | update",
)


@app.command(_SHOW)
def show(
    ips: Annotated[list[str] | None, typer.Argument(metavar="[IP]...", help="Addresses of clients.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """What each database says of an address, and whether the country rule would refuse it.

    Without an address: the databases. Files are chosen as a decision would that starts now with these
    settings. Exit code 0; 1: an address would be refused; 2: something is no address.
    """
    settings = load_or_exit("decision", Settings).settings
    databases, errors = asyncio.run(open_databases(settings.databases, settings.geoip_directory))
    if not databases:
        errors.append("there is no country data: mail from every country passes")
    explained: list[Explanation] = []
    wrong: list[str] = []
    # Nobody reads the counter: it is in no registry.
    lookups = Counter("lookups", "Looked-up addresses by result.", ("result",), registry=None)
    explainer = Explainer(settings, Origins(databases, lookups))
    for ip in ips or ():
        try:
            explained.append(explainer.explain(ip))
        except ValueError as error:
            wrong.append(str(error))
    if as_json:
        typer.echo(json.dumps(_as_json(databases, errors, explained)))
    elif ips:
        _print_addresses(databases, explained)
    else:
        _print_databases(databases)
    for line in [*errors, *wrong]:
        typer.echo(line, err=True)
    if wrong:
        raise typer.Exit(EXIT_NO_ADDRESS)
    if any(one.refused for one in explained):
        raise typer.Exit(EXIT_REFUSED)


def _as_json(
    databases: Sequence[CountryData], errors: Sequence[str], explained: Sequence[Explanation]
) -> dict[str, Any]:
    return {
        "databases": [
            {
                "source": data.source,
                "path": str(data.path),
                "type": data.database_type,
                "built": datetime.fromtimestamp(data.build_unix_seconds, UTC).isoformat(),
                "age_seconds": round(time.time() - data.build_unix_seconds),
                "nodes": data.nodes,
            }
            for data in databases
        ],
        "errors": list(errors),
        "addresses": [
            {
                "address": one.address,
                "looked_up": str(one.looked_up),
                "kind": one.origin.kind.name.lower(),
                "answers": [
                    {
                        "source": answer.source,
                        "country": answer.country,
                        "name": name_of(answer.country) if answer.country else "",
                    }
                    for answer in one.origin.answers
                ],
                "refused": one.refused,
                "reason": one.reason,
            }
            for one in explained
        ],
    }


def _print_addresses(databases: Sequence[CountryData], explained: Sequence[Explanation]) -> None:
    if not explained:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("address", *(data.source for data in databases), "country rule"):
        table.add_column(Text(title), overflow="fold")
    for one in explained:
        said = {answer.source: answer.country for answer in one.origin.answers}
        address = one.address
        if str(one.looked_up) not in (address, address.lower()) and one.looked_up.version == 4:
            address += f" (as {one.looked_up})"
        table.add_row(
            Text(address),
            *(Text(_named(said.get(data.source, ""))) for data in databases),
            Text.assemble(
                ("refuse", "bold red") if one.refused else ("pass", "bold green"), f": {one.reason}"
            ),
        )
    _console().print(table)


def _named(country: str) -> str:
    return f"{country} {name_of(country)}" if country else "-"


def _print_databases(databases: Sequence[CountryData]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("database", "type", "built", "age", "nodes", "path"):
        table.add_column(title, overflow="fold")
    for data in databases:
        days = (time.time() - data.build_unix_seconds) / 86400
        row = (data.source, data.database_type, _day(data.build_unix_seconds), f"{days:.0f} days")
        table.add_row(*map(Text, (*row, str(data.nodes), str(data.path))))
    _console().print(table)


def _day(unix_seconds: float) -> str:
    return f"{datetime.fromtimestamp(unix_seconds, UTC):%Y-%m-%d}"


def _console(*, stderr: bool = False) -> Console:
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH)


@app.command("update")
def update_command(
    provider: Annotated[
        ProviderName | None, typer.Option(help="Default: geo_update_provider of the settings.")
    ] = None,
    directory: Annotated[
        Path | None, typer.Option(help="Where the file is put; default: geoip_directory of the settings.")
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            help="A mirror with the publisher's paths, in place of https://download.maxmind.com ..."
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="How long all of it may take, in seconds.")
    ] = BOUNDS.total_seconds,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
) -> None:
    """Fetch the newest country data, check it, and put it where decision takes it over.

    maxmind: GeoLite2-Country.mmdb, needs an account; dbip: DBIP-Country-Lite.mmdb, needs none. Proxies are
    those of the environment (https_proxy). Exit code 0: new, or current; 1: failed, nothing is changed.
    """
    settings = load_or_exit("decision", Settings).settings
    try:
        chosen = _choose(settings, provider, directory, base_url)
        with _bar(chosen.provider, quiet=quiet) as report:
            done = asyncio.run(_interruptible(chosen, BOUNDS._replace(total_seconds=timeout), report))
    except (AccountError, UpdateError) as error:
        typer.echo(f"country data was not updated: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from error
    if not quiet:
        typer.echo(_told(done))
        if settings.databases and str(done.path) not in settings.databases:
            typer.echo(f"decision does not read it: databases names {', '.join(settings.databases)}")


class _Chosen(NamedTuple):
    provider: Provider
    directory: Path
    base_url: URL
    authorization: str | None


def _choose(
    settings: Settings, name: ProviderName | None, directory: Path | None, base_url: str | None
) -> _Chosen:
    """Settings and options joined. Raises AccountError or UpdateError."""
    name = name or provider_of(settings)
    provider = PROVIDERS[name]
    authorization = authorization_of(settings) if name == "maxmind" else None
    if name == "maxmind" and authorization is None and base_url is None:
        raise AccountError(
            "MaxMind wants an account: set maxmind_account_id_file and maxmind_license_key_file, "
            "or take the other one: --provider dbip"
        )
    url = _parse_url(provider.base_url if base_url is None else base_url)
    return _Chosen(provider, directory or settings.geoip_directory, url, authorization)


def _parse_url(text: str) -> URL:
    try:
        url = URL(text)
    except ValueError:
        raise UpdateError("--base-url is no web address") from None
    if url.scheme not in ("http", "https") or not url.host or url.query_string or url.fragment:
        raise UpdateError("--base-url is no web address such as https://mirror.example.org/geo")
    if url.user is not None or url.password is not None:
        raise UpdateError("--base-url names a user or a password: whoever lists the processes could read it")
    return url


async def _interruptible(chosen: _Chosen, bounds: Bounds, report: Report) -> Updated:
    """`update`, ended by SIGTERM or Ctrl-C as by any other failure."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await update(
            chosen.provider,
            chosen.directory,
            base_url=chosen.base_url,
            authorization=chosen.authorization,
            bounds=bounds,
            report=report,
        )
    except asyncio.CancelledError:
        raise UpdateError("interrupted") from None


@contextmanager
def _bar(provider: Provider, *, quiet: bool) -> Iterator[Report]:
    """A progress bar on a terminal, else nothing."""
    console = _console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=False),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=quiet or not console.is_terminal
    ) as progress:
        bar = progress.add_task(provider.title, total=None)

        def report(step: str, done: int, total: int | None) -> None:
            progress.update(bar, description=f"{provider.title}: {step}", completed=done, total=total)

        yield report


def _told(done: Updated) -> str:
    """The result in one line."""
    built = _day(done.build_unix_seconds)
    if not done.is_new:
        return f"{done.path} is current, built {built}"
    if done.unusable:
        return f"{done.path} is new, built {built}; the one before it was unusable: {done.unusable}"
    before = f", the one before it {_day(done.replaced_unix_seconds)}" if done.replaced_unix_seconds else ""
    return f"{done.path} is new, built {built}{before}"
