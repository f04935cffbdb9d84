"""`univention-mtpolicyd-activate`: the check in Postfix, where mail with a login passes.

A `permit` ends a list of restrictions, so the check stands before the first one: at slot 08 of the list that
all ports have, and, where a site gives 465 and 587 a list of their own, in that one too.
"""

import argparse
import getpass
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from mtpolicyd_ucs import covering, places, postfix, registry
from mtpolicyd_ucs.in_force import InForce, in_force
from mtpolicyd_ucs.listening import listening
from mtpolicyd_ucs.positions import MODES, Positions, asking, at_end_of_data, at_recipients
from mtpolicyd_ucs.proving import Login, wait_for_new_settings
from mtpolicyd_ucs.restrictions import asks
from mtpolicyd_ucs.settings_file import variable_of
from mtpolicyd_ucs.telling import say, warn
from mtpolicyd_ucs.undoing import Changes

EXIT_UNCOVERED = 1
EXIT_USAGE = 2

RULES = ("country_mode", "allowedcountries", "quota_mode", "threshold", "count")


class CannotActivate(Exception):
    """Nothing was changed; the text says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: done; 1: a port where users log in does not ask; 2: it could not be done."""
    options = _parser().parse_args(arguments)
    try:
        if os.geteuid() != 0:
            raise CannotActivate("nothing is changed: only root may")
        if options.deactivate:
            deactivate()
            return 0
        login = Login(options.login, _password()) if options.login else None
        return 0 if activate(end_of_data=options.end_of_data, observe=options.observe, login=login) else 1
    except (CannotActivate, OSError, subprocess.SubprocessError) as error:
        print(f"univention-mtpolicyd-activate: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_USAGE


def activate(*, end_of_data: bool, observe: bool, login: Login | None) -> bool:
    """Returns whether every port where users log in asks. Raises CannotActivate, and what main catches."""
    if not postfix.is_installed():
        raise CannotActivate("nothing is changed: Postfix is not installed")
    found = in_force()
    if found.settings is None:
        raise CannotActivate("; ".join(found.wrong))
    _must_answer()
    where = listening(found.settings)
    ucr = registry.load()
    changes = Changes()
    if observe:
        _observe(changes, ucr, found.settings)
        ucr = registry.load()
    elsewhere = [
        name for name, value in _in_postfix(changes, ucr).items() if not asks(value, where.reached_at)
    ]
    if elsewhere:
        # host or port have changed since.
        changes.undo(ucr, elsewhere)
        ucr = registry.load()
    positions = at_end_of_data(ucr, where) if end_of_data else at_recipients(ucr, where)
    _place(changes, ucr, positions)
    for line in positions.left_out:
        say(line)
    _reload()
    covered = covering.report(where, found.settings, login)
    _tell_rules(in_force())
    say("what was done here is undone by: univention-mtpolicyd-activate --deactivate")
    return covered


def deactivate() -> None:
    """Undo what `activate` has done, and nothing else."""
    changes = Changes()
    if changes:
        changes.undo(registry.load())
        _reload()
    else:
        say("nothing was activated here")
    found = in_force()
    still = asking(registry.load(), listening(found.settings)) if found.settings is not None else {}
    for name, value in still.items():
        # As with the published command: it has no default action.
        later = "" if "default_action=" in value else "; while nobody answers, Postfix puts mail off"
        warn(f"{name} still asks, and was not set here{later}. To end it: ucr unset {name}; postfix reload")
    if still:
        _tell_rules(found)
    elif found.settings is not None:
        say("Postfix no longer asks")


def _tell_rules(found: InForce) -> None:
    settings = found.settings or {}
    say("the rules: " + " ".join(f"{variable_of(key)}={settings[key]}" for key in RULES if key in settings))


def _observe(changes: Changes, ucr: registry.ReadableRegistry, settings: covering.Settings) -> None:
    # Before Postfix asks: nobody is refused in between.
    wanted = dict.fromkeys(MODES, "observe")
    if all(ucr.get(name) == value for name, value in wanted.items()):
        return
    began = time.time()
    changes.make(ucr, wanted)
    if not wait_for_new_settings(settings, began):
        raise CannotActivate("Postfix is not changed: the services have not taken over the observe mode")
    say("all rules only look: they log and count what they would refuse")


def _place(changes: Changes, ucr: registry.ReadableRegistry, positions: Positions) -> None:
    """Bring Postfix's variables to what is wanted; those of an activation in another form are set back."""
    outdated = [name for name in _in_postfix(changes, ucr) if name not in positions.wanted]
    if outdated:
        changes.undo(ucr, outdated)
    changes.make(registry.load(), positions.wanted)


def _in_postfix(changes: Changes, ucr: registry.ReadableRegistry) -> dict[str, str]:
    return {name: value for name, value in changes.ours(ucr).items() if name not in MODES}


def _reload() -> None:
    # `ucr set` writes the files and leaves the running Postfix alone.
    if postfix.is_running():
        postfix.reload()
    else:
        say("Postfix does not run; it will ask when it is started")


def _must_answer() -> None:
    done = subprocess.run(
        [str(places.MTPOLICYCTL), "test", "--user", ""],  # without a login nothing is counted
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=postfix.SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise CannotActivate(f"nothing is changed: the service does not answer ({done.stderr.strip()})")


def _password() -> str:
    return getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="univention-mtpolicyd-activate",
        description="Have Postfix ask univention-mtpolicyd about mail of logged-in users, and prove it.",
    )
    parser.add_argument(
        "--observe", action="store_true", help="first have all rules only look: nobody is refused"
    )
    parser.add_argument(
        "--end-of-data",
        action="store_true",
        help="ask once for each message, after its body, at the ports 465 and 587, not for each recipient",
    )
    parser.add_argument(
        "--login",
        metavar="NAME",
        help="also prove it with this user's login (his password is asked for, or read from standard input); "
        "a mail is begun, not sent",
    )
    parser.add_argument("--deactivate", action="store_true", help="undo exactly what was done here")
    return parser
