"""Failures in words."""

import errno

import pytest

from quota.notify.reasons import of_os, one_line


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)"), "Connection refused"),
        (OSError(-2, "Name or service not known"), "Name or service not known"),
        (OSError("two\nlines"), "two lines"),
        (OSError(), "OSError"),
    ],
)
def test_an_error_of_the_system_is_one_line(error: OSError, text: str) -> None:
    assert of_os(error) == text


def test_what_a_receiver_says_is_one_line() -> None:
    assert one_line("4.2.0 a\r\n b\tc \x1b[1m\xf6") == r"4.2.0 a b c \x1b[1m\xf6"
    assert len(one_line("x" * 10_000)) == 256
