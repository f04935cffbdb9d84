"""Arguments and options that several commands have."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest

from admin.talk.exits import EXIT_WRONG, EndError
from admin.talk.options import read_reason, read_until, read_user

UTC = ZoneInfo("UTC")


def test_what_is_given_is_read() -> None:
    """No end is 0."""
    assert read_user("Alice") == b"alice"
    assert read_until("", UTC) == 0
    assert read_until("2999-12-31", UTC) == 32503680000000
    assert read_reason(" why ") == "why"


@pytest.mark.parametrize(
    ("read", "line"),
    [
        (lambda: read_user(""), "the name of the user is empty"),
        (lambda: read_until("1999-12-31", UTC), "--until 1999-12-31 is in the past"),
        (lambda: read_until("x\x1b", UTC), r"--until x\x1b is no time; allowed: tonight"),
        (lambda: read_reason("a\nb"), "--reason: there are control characters in it"),
    ],
)
def test_what_is_wrong_ends_the_command(read: Callable[[], object], line: str) -> None:
    """With exit code 2."""
    with pytest.raises(EndError) as caught:
        read()

    assert caught.value.code == EXIT_WRONG
    assert str(caught.value).startswith(line)
