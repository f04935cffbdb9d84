"""What the admin sees in the output of `ucr set`, and later in the log."""

import sys
import syslog
from contextlib import suppress

NAME = "univention-mtpolicyd"


def say(line: str) -> None:
    """What happens."""
    with suppress(OSError):
        print(f"{NAME}: {line}", flush=True)  # noqa: T201


def warn(line: str) -> None:
    """What is wrong, or has to be known: on standard error, and in the journal."""
    with suppress(OSError):
        print(f"{NAME}: {line}", file=sys.stderr, flush=True)  # noqa: T201
    syslog.openlog(NAME, facility=syslog.LOG_MAIL)
    syslog.syslog(syslog.LOG_ERR, line)
