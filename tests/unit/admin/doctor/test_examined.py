"""One entrance."""

from pathlib import Path

from admin.doctor.examination import examine
from admin.doctor.examined import is_chrooted, lower_booleans
from admin.doctor.postconf import Postconf, read_service
from admin.doctor.verdict import Answer
from tests.unit.admin.doctor.pairs import CHECK, OURS, PERMITS, SMTP, SUBMISSION, examined, write


def test_what_is_handed_on_is_unknown_until_it_is_accepted(tmp_path: Path) -> None:
    """Where users log in, and only there."""
    milter = " -o smtpd_milters=inet:127.0.0.1:8891"
    write(tmp_path, f"{CHECK}, {PERMITS}", SMTP.replace("\n", f"{milter}\n") + SUBMISSION + milter)
    postconf = Postconf(tmp_path)
    smtp, submission = examine(postconf, OURS).entrances

    assert smtp.filters == ()
    assert [one.name for one in submission.filters] == ["inet:127.0.0.1:8891"]
    assert {verdict.answer for verdict in submission.logins} == {Answer.UNKNOWN}
    assert {verdict.answer for verdict in smtp.verdicts.values()} == {Answer.COVERED}
    assert examine(postconf, OURS, frozenset({"inet:127.0.0.1:8891"})).answer is Answer.COVERED
    assert examine(postconf, OURS, frozenset({"inet:127.0.0.1"})).answer is Answer.UNKNOWN


def test_the_cleanup_service_of_an_entrance_is_asked(tmp_path: Path) -> None:
    """It may have header checks of its own."""
    checks = "regexp:{ { /^A/ FILTER x:1 } }"
    own = f"\nown unix n - n - 0 cleanup -o {{ header_checks = {checks} }}"
    master = f"{SMTP}{SUBMISSION} -o cleanup_service_name=own{own}"
    submission = examined(tmp_path, f"{CHECK}, {PERMITS}", master).entrances[1]

    assert [(one.parameter, one.name) for one in submission.filters] == [(f"header_checks = {checks}", "x:1")]


def test_a_busy_postfix_may_have_other_lists(tmp_path: Path) -> None:
    """The worse verdict holds."""
    lists = "${stress?{permit_sasl_authenticated, reject}:{$guard, permit_sasl_authenticated, reject}}"

    assert examined(tmp_path, lists, more=f"guard = {CHECK}").answer is Answer.NOT_COVERED


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
