"""What mail is handed to once it was asked about: milters, content filters, and tables that name one.

smtpd asks the policy services before it hands mail on, so none of these skips the check. What they make of
the mail is theirs: recipients that a milter adds, or mail that a filter brings back without a login, nobody
asks about. Postfix's settings do not say whether they do that.

Milters, smtpd_proxy_filter and content_filter are smtpd's; header_checks and its like are cleanup(8)'s.
"""

from collections.abc import Iterable, Iterator, Mapping

from admin.doctor.flows import Filter
from admin.doctor.lists import split_braced, strip_braces
from admin.doctor.tables import Tables

KINDS = ("milter", "filter", "checks_unread")
CONTENT_CHECKS = ("header_checks", "mime_header_checks", "nested_header_checks", "body_checks")


def behind_smtpd(values: Mapping[str, str], cleanup: Mapping[str, str], tables: Tables) -> Iterator[Filter]:
    """What all mail of an entrance may be handed to, whatever its restriction lists say.

    Args:
        values: the parameters in force of smtpd.
        cleanup: those of the cleanup service that takes its mail.
    """
    # Names of receive_override_options, see postconf(5).
    off = split_braced(values.get("receive_override_options", ""))
    if "no_milters" not in off:
        yield from _milters(values, tables)
    if values.get("smtpd_proxy_filter"):
        yield Filter("filter", "smtpd_proxy_filter", values["smtpd_proxy_filter"])
    if "no_header_body_checks" not in off:
        # Those of the other headers are those of the first headers where nothing else is set.
        named_in: dict[str, str] = {}
        for parameter in CONTENT_CHECKS:
            for table in split_braced(cleanup.get(parameter, "")):
                named_in.setdefault(table, parameter)
        for table, parameter in named_in.items():
            yield from _named_by(parameter, table, tables)


def named(actions: Iterable[Filter | None], values: Mapping[str, str]) -> Iterator[Filter]:
    """What FILTER actions name, and content_filter for mail that meets none of them (access(5)).

    Args:
        actions: see Verdict.filters.
    """
    for action in actions:
        if action is not None:
            yield action
        elif values.get("content_filter"):
            yield Filter("filter", "content_filter", values["content_filter"])


def _milters(values: Mapping[str, str], tables: Tables) -> Iterator[Filter]:
    for word in split_braced(values.get("smtpd_milters", "")):
        yield Filter("milter", "smtpd_milters", _endpoint(word))
    # By the client's address, in the place of those (postconf(5)).
    for table in split_braced(values.get("smtpd_milter_maps", "")):
        read = tables.read(table)
        if read.unread:
            yield Filter("milter", "smtpd_milter_maps", table)
        for entry in read.entries:
            if entry.value.strip().upper() != "DISABLE":
                for word in split_braced(entry.value):
                    yield Filter("milter", "smtpd_milter_maps", _endpoint(word))


def _endpoint(word: str) -> str:
    """Of `inet:HOST:PORT`, or `{ inet:HOST:PORT, connect_timeout=... }`."""
    return next(iter(split_braced(strip_braces(word))), word)


def _named_by(parameter: str, table: str, tables: Tables) -> Iterator[Filter]:
    read = tables.read(table)
    if read.unread:
        yield Filter("checks_unread", parameter, table)
    for entry in read.entries:
        action, *name = entry.value.split(maxsplit=1)[:2] or [""]
        if action.upper() == "FILTER":
            yield Filter("filter", f"{parameter} = {table}", "".join(name))
