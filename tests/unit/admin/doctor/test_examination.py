"""The whole host."""

from pathlib import Path

from admin.doctor.examination import is_chrooted, lower_booleans
from admin.doctor.postconf import read_service
from admin.doctor.verdict import Answer
from tests.unit.admin.doctor.pairs import CHECK, PERMITS, SMTP, SUBMISSION, examined


def test_a_host_is_covered_where_every_login_is(tmp_path: Path) -> None:
    """Each entrance by its own parameters."""
    found = examined(tmp_path, f"{CHECK}, {PERMITS}")
    smtp, submission = found.entrances

    assert found.answer is Answer.COVERED
    assert smtp.logins == []
    assert [verdict.answer for verdict in submission.logins] == [Answer.COVERED, Answer.COVERED]
    assert submission.asks[0].behind == ("permit_mynetworks", "permit_sasl_authenticated")
    assert found._replace(strangers=[465]).answer is Answer.UNKNOWN


def test_one_uncovered_entrance_is_enough(tmp_path: Path) -> None:
    """An override of its own, and its site is seen."""
    override = " -o { smtpd_recipient_restrictions = permit_sasl_authenticated, " + CHECK + " }"
    found = examined(tmp_path, f"{CHECK}, {PERMITS}", SMTP + SUBMISSION + override)

    assert found.answer is Answer.NOT_COVERED
    assert found.entrances[1].sites[0].before == ("permit_sasl_authenticated",)


def test_without_any_login_there_is_nothing_to_cover(tmp_path: Path) -> None:
    """And that is not called covered."""
    assert examined(tmp_path, CHECK, SMTP).answer is Answer.NONE


def test_other_policy_services_are_named(tmp_path: Path) -> None:
    """Also those of classes."""
    more = "smtpd_restriction_classes = grey\ngrey = check_policy_service inet:127.0.0.1:10023"
    found = examined(tmp_path, f"{CHECK}, check_policy_service inet:127.0.0.1:7777", more=more)

    assert found.entrances[0].others == ("inet:127.0.0.1:7777", "inet:127.0.0.1:10023")


def test_the_default_of_the_chroot_column() -> None:
    """It depends on the compatibility level."""
    service = read_service("smtp inet n - - - - smtpd", {})

    assert is_chrooted(service, {"compatibility_level": "0"})
    assert not is_chrooted(service, {"compatibility_level": "3.6"})
    assert is_chrooted(read_service("smtp inet n - y - - smtpd", {}), {"compatibility_level": "3.6"})


def test_postfix_takes_yes_in_any_case() -> None:
    """Other values stay."""
    assert lower_booleans({"a": "YES", "b": "Yes, sir"}) == {"a": "yes", "b": "Yes, sir"}
