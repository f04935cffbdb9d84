"""`mtpolicyctl replay`, as the admin calls it."""

from pathlib import Path
from typing import Annotated

import typer


def replay(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="Recorded requests or mail logs, plain or gzipped."),
    ],
    config: Annotated[
        Path, typer.Option(metavar="NEW.toml", help="The new settings, as they would replace the file.")
    ],
    recorded_countries: Annotated[
        bool,
        typer.Option(
            "--recorded-countries", help="Believe what the databases said then, instead of asking them now."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON, with all accounts.")] = False,
) -> None:
    """List the accounts that would hear other answers by the settings of NEW.toml than by those in force.

    In force is what MTPOLICYD_CONFIG and the environment say. NEW.toml is taken to replace the file: where it
    sets something, a variable of the environment is left aside (a note names it); the others hold for both.

    Counts begin at zero with the first request. A mail log shows only what Postfix has accepted, in the
    host's time zone where it names none, and with the number of recipients after aliases.

    Exit code 0: no answer differs; 1: some do; 2: wrong files or settings; 3: no room to count.
    """
    # Loaded here: this module is loaded for every command of mtpolicyctl.
    from admin.replay.comparing import compare

    raise typer.Exit(compare(files, config, recorded_countries=recorded_countries, as_json=json))
