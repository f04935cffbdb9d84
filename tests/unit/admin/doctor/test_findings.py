"""What is wrong at the entrances."""

from pathlib import Path

import pytest

from admin.doctor.findings import Finding, Severity, at_entrances, by_severity, merged
from tests.unit.admin.doctor.pairs import CHECK, PERMITS, SMTP, SUBMISSION, bench, examined

PLAIN = "check_policy_service inet:127.0.0.1:12345"


@pytest.mark.parametrize(
    ("recipient", "more", "found"),
    [
        (f"{CHECK}, {PERMITS}", "", []),
        (PERMITS, "", ["no_check"]),
        (f"{PERMITS}, {CHECK}", "", ["check_after_permit"]),
        (f"{PLAIN}, {PERMITS}", "", ["no_default_action", "timeout_long"]),
        (f"{CHECK}, {PERMITS}", "mynetworks = 0.0.0.0/0", ["everybody_trusted"]),
        (f"{CHECK}, {PERMITS}", "smtpd_authorized_xclient_hosts = 10.0.0.1", ["xclient"]),
        (f"{CHECK}, {PERMITS}", "mynetworks = mysql:/x", ["networks_unread"]),
        (f"warn_if_reject {CHECK}, {PERMITS}", "", ["answer_ignored"]),
        (PERMITS.replace("permit_m", f"{PLAIN.replace('5', '6')}, permit_m"), "", ["wrong_endpoint"]),
        (
            PERMITS,
            f"smtpd_delay_reject = no\nsmtpd_client_restrictions = {CHECK}",
            ["asked_too_early", "delay_reject"],
        ),
    ],
)
def test_each_trouble_has_its_finding(tmp_path: Path, recipient: str, more: str, found: list[str]) -> None:
    """And a check that stands well has none."""
    findings = at_entrances(bench(examined(tmp_path, recipient, more=more)))

    assert sorted(finding.id for finding in findings) == sorted(found)


def test_a_filter_is_told_with_the_command_that_accepts_it(tmp_path: Path) -> None:
    """It is known by its name and by what names it."""
    more = "smtpd_milters = inet:a:1\ncontent_filter = x:[::1]:2\nheader_checks = mysql:/y"
    examination = examined(tmp_path, f"{CHECK}, {PERMITS}", more=more)
    findings = at_entrances(bench(examination._replace(accepted=frozenset({"inet:a:1"}))))

    assert [(one.id, one.severity, one.details) for one in findings] == [
        ("filter_accepted", Severity.INFO, ("inet:a:1", "smtpd_milters")),
        ("unknown_checks_unread", Severity.UNKNOWN, ("mysql:/y", "header_checks")),
        ("unknown_filter", Severity.UNKNOWN, ("x:[::1]:2", "content_filter")),
    ]
    assert findings[2].mend == ("mtpolicyctl doctor --accept-filter 'x:[::1]:2'",)


def test_a_list_of_its_own_is_shown(tmp_path: Path) -> None:
    """With the command that puts the check into it."""
    override = " -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject"
    (finding,) = at_entrances(bench(examined(tmp_path, CHECK, SMTP + SUBMISSION + override)))

    assert (finding.id, finding.where) == ("own_list_without_check", ("submission (587)",))
    assert finding.details == ("permit_sasl_authenticated,reject",)
    assert finding.mend[0].startswith("postconf -P ")


def test_the_documented_slot_of_ucs_is_named(tmp_path: Path) -> None:
    """By its key."""
    key = "mail/postfix/smtpd/restrictions/recipient/79"
    (finding,) = at_entrances(bench(examined(tmp_path, f"{PERMITS}, {CHECK}"), {key: CHECK}))

    assert (finding.id, finding.details[0]) == ("ucs_slot", key)


def test_the_same_at_several_entrances_is_one_finding() -> None:
    """The worst comes first."""
    found = merged([Finding("a", Severity.INFO, ("x",)), Finding("a", Severity.INFO, ("y",))])

    assert found == [Finding("a", Severity.INFO, ("x", "y"))]
    assert by_severity([*found, Finding("b", Severity.ERROR)])[0].id == "b"
