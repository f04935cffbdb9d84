"""How a command ends."""

import json

import pytest

from admin.talk.exits import EXIT_NO, EXIT_NO_SERVICE, EXIT_WRONG, EndError, command, wrong
from admin.talk.options import JsonOption
from tests.support.admin_fakes import invoke, outcome


@pytest.mark.parametrize(
    ("error", "code"),
    [(wrong("no"), 2), (EndError(EXIT_NO, "no"), 1), (EndError(EXIT_NO_SERVICE, "no"), 3)],
)
def test_a_command_ends_with_a_code_and_a_line(error: EndError, code: int) -> None:
    """On standard error."""

    @command
    def body() -> None:
        raise error

    assert outcome(invoke(body)) == (code, "", "no\n")


def test_with_json_the_line_is_an_object() -> None:
    """On standard error as well; in ASCII, on one line."""

    @command
    def body(as_json: JsonOption = False) -> None:
        raise wrong('no "such"\u202e thing')

    code, out, err = outcome(invoke(body, "--json"))
    assert (code, out) == (2, "")
    assert err.isascii()
    assert json.loads(err) == {"error": 'no "such"\u202e thing', "exit_code": 2}
    assert outcome(invoke(body))[2] == 'no "such"\u202e thing\n'


def test_a_command_keeps_its_name_and_help() -> None:
    """typer reads both."""

    @command
    def body(word: str) -> None:
        """What it does."""

    assert (body.__name__, body.__doc__) == ("body", "What it does.")
    assert outcome(invoke(body, "x")) == (0, "", "")
    assert EXIT_WRONG == 2
