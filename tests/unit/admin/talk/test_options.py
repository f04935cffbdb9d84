"""Arguments and options that several commands have."""

from collections.abc import Callable

import pytest

from admin.talk.exits import EXIT_WRONG, EndError
from admin.talk.options import read_reason, read_until, read_user

pytestmark = pytest.mark.usefixtures("settings")


def test_what_is_given_is_read() -> None:
    """No end is 0; times are those of the services."""
    assert read_user("Alice") == b"alice"
    assert read_until(None) == (0, "")
    assert read_until("2999-12-31") == (32503676400000, " until 3000-01-01 00:00:00 CET")
    assert read_reason(" why ") == "why"


@pytest.mark.parametrize(
    ("read", "line"),
    [
        (lambda: read_user(""), "the name of the user is empty"),
        (lambda: read_until(""), "--until (empty) is no time; allowed: tonight"),
        (lambda: read_until("1999-12-31"), "--until 1999-12-31 is in the past"),
        (lambda: read_until("x\x1b"), r"--until x\x1b is no time; allowed: tonight"),
        (lambda: read_reason("a\nb"), "--reason: there are control characters in it"),
    ],
)
def test_what_is_wrong_ends_the_command(read: Callable[[], object], line: str) -> None:
    """With exit code 2."""
    with pytest.raises(EndError) as caught:
        read()

    assert caught.value.code == EXIT_WRONG
    assert str(caught.value).startswith(line)
