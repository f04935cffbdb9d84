"""The text of a mail: a line `Subject: ...`, an empty line, and a body, with fields such as $account."""

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import NamedTuple

from chassis.config import read_file
from quota.notify.notification import FIELDS

MAX_CHARACTERS = 65536
MAX_SUBJECT_CHARACTERS = 200
_SUBJECT = "subject:"

BUILT_IN = """\
Subject: [mtpolicyd $host] $summary

$summary.

account      $account
rule         $rule
used         $used of $limit
country      $country
address      $address
since        $since
until        $until
decision     $decision_id
host         $host

Nothing more of this kind is told of this account until then.
"""


class MailTemplate(NamedTuple):
    """Both parts, checked."""

    subject: Template
    body: Template

    def fill(self, fields: Mapping[str, str]) -> tuple[str, str]:
        """(subject, body). Args: fields: a line for each of FIELDS."""
        subject = self.subject.substitute(fields).strip()
        if len(subject) > MAX_SUBJECT_CHARACTERS:
            subject = subject[: MAX_SUBJECT_CHARACTERS - 3] + "..."
        return subject, self.body.substitute(fields)


def parse(text: str) -> MailTemplate:
    """Raises ValueError, with one line that says what is wrong."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"the template has more than {MAX_CHARACTERS} characters")
    first, *rest = text.removeprefix("\ufeff").splitlines() or [""]
    if not first.lower().startswith(_SUBJECT):
        raise ValueError("the template's first line does not begin with `Subject:`")
    subject = first[len(_SUBJECT) :].strip()
    if not subject or not subject.isprintable():
        raise ValueError("the template's subject is empty, or holds control characters")
    if rest and rest[0].strip():
        raise ValueError("the template's second line is not empty: it parts subject and body")
    for number, line in enumerate([subject, *rest], 1):
        _check(Template(line), number)
    return MailTemplate(Template(subject), Template("\n".join(rest[1:]) + "\n"))


def read(path: Path | None) -> MailTemplate:
    """The file's, or the built-in one. Raises ValueError; SettingsError if it cannot be read."""
    return parse(BUILT_IN if path is None else read_file(path).text)


def _check(line: Template, number: int) -> None:
    if not line.is_valid():
        raise ValueError(f"the template's line {number} has a $ that begins no field; a $ itself is $$")
    for name in line.get_identifiers():
        if name not in FIELDS:
            raise ValueError(
                f"the template's line {number} names ${name}, which is no field; fields are "
                + ", ".join(FIELDS)
            )
