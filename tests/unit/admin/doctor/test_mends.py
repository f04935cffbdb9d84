"""The commands, run on a copy: the doctor must then say that all is well."""

import shlex
import subprocess
from pathlib import Path

import pytest

from admin.doctor.examination import examine
from admin.doctor.mends import without_blanks
from admin.doctor.postconf import Postconf
from admin.doctor.verdict import Answer
from tests.e2e.postfix import settle
from tests.unit.admin.doctor.pairs import CHECK, OURS, PERMITS, SMTP, SUBMISSION, bench, examined

OWN = " -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject"
NESTED = (
    " -o { smtpd_recipient_restrictions = "
    "check_sender_access inline:{ { a = REJECT no } }, reject_unauth_destination }"
)


@pytest.mark.parametrize(
    ("recipient", "master"),
    [
        ("", SMTP + SUBMISSION),
        (PERMITS, SMTP + SUBMISSION),
        (f"{PERMITS}, {CHECK}", SMTP + SUBMISSION),
        (f"warn_if_reject, {PERMITS}", SMTP + SUBMISSION),
        (CHECK, SMTP + SUBMISSION + OWN),
        (CHECK, SMTP + SUBMISSION + " -o smtpd_recipient_restrictions="),
        (CHECK, SMTP + SUBMISSION + NESTED),
    ],
)
def test_the_commands_mend_it(tmp_path: Path, recipient: str, master: str) -> None:
    """With the check once, at the top."""
    before = examined(tmp_path, recipient, master)
    commands = bench(before).put_first(before.entrances[1])
    for command in commands[:-1]:
        words = shlex.split(command)
        assert words[0] == "postconf"
        subprocess.run([words[0], "-c", tmp_path, *words[1:]], check=True)
        settle(tmp_path)
    after = examine(Postconf(tmp_path), OURS)

    assert before.answer is Answer.NOT_COVERED
    assert after.answer is Answer.COVERED
    assert after.entrances[1].asks[0].position == 1
    assert not any(verdict.twice for verdict in after.entrances[1].verdicts.values())
    assert commands[-1] == "postfix reload"


def test_on_ucs_the_registry_is_changed(tmp_path: Path) -> None:
    """The slot that is never reached goes, the other comes."""
    key = "mail/postfix/smtpd/restrictions/recipient/"
    found = examined(tmp_path, f"{PERMITS}, {CHECK}")
    commands = bench(found, {f"{key}79": CHECK, f"{key}10": "permit_mynetworks"}).put_first(
        found.entrances[1]
    )

    assert commands == (
        f"ucr unset {key}79",
        f"ucr set '{key}08-mtpolicyd={CHECK}'",
        "systemctl reload postfix",
    )


def test_on_ucs_a_service_has_its_own_place(tmp_path: Path) -> None:
    """Options of master.cf hold no blank."""
    found = examined(tmp_path, CHECK, SMTP + SUBMISSION + OWN)
    (command, _) = bench(found, {}).put_first(found.entrances[1])

    assert command == (
        "ucr set 'mail/postfix/mastercf/options/submission/smtpd_recipient_restrictions="
        "check_policy_service,{inet:127.0.0.1:12345,timeout=10s,default_action=DUNNO},"
        "permit_sasl_authenticated,reject'"
    )


def test_blanks_go_from_braces_alone() -> None:
    """Other words have none."""
    assert without_blanks("{ a, b }") == "{a,b}"
    assert without_blanks("a") == "a"
