"""The whole host."""

from pathlib import Path

from admin.doctor.examination import other_instances
from admin.doctor.postconf import Postconf
from admin.doctor.verdict import Answer
from tests.unit.admin.doctor.pairs import CHECK, PERMITS, SMTP, SUBMISSION, examined, write


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


def test_a_filter_makes_nothing_better(tmp_path: Path) -> None:
    """What is not covered stays so."""
    assert examined(tmp_path, PERMITS, more="content_filter = x:1").answer is Answer.NOT_COVERED


def test_a_program_on_a_port_is_unknown_wherever_users_log_in(tmp_path: Path) -> None:
    """Also where main.cf switches logins off; unless Postfix itself asks there."""
    spawn = "\n127.0.0.1:9998 inet n n n - 0 spawn argv=x"
    for more, answer in (
        ("", Answer.UNKNOWN),
        ("transport_maps = inline:{ { a = lmtp:inet:127.0.0.1:9998 } }", Answer.UNKNOWN),
        ("postscreen_access_list = tcp:127.0.0.1:9998", Answer.COVERED),
        ("smtpd_sasl_path = inet:[::1]:9998", Answer.COVERED),
    ):
        found = examined(tmp_path, f"{CHECK}, {PERMITS}", SMTP + SUBMISSION + spawn, more)

        assert found.answer is answer, more


def test_a_service_that_stands_twice_is_unknown(tmp_path: Path) -> None:
    """An option of the line that is not in force would be believed."""
    checked = f" -o {{ smtpd_recipient_restrictions = {CHECK}, {PERMITS} }}"
    found = examined(tmp_path, PERMITS, f"{SMTP}{SUBMISSION}{checked}\n{SUBMISSION}")

    assert [verdict.why[0].key for verdict in found.entrances[1].logins] == ["service_twice"] * 3
    assert found.answer is Answer.UNKNOWN


def test_other_instances_are_named(tmp_path: Path) -> None:
    """Those that are on, and those of which that cannot be read."""
    for name, more in (("on", "multi_instance_enable = yes"), ("off", "")):
        (tmp_path / name).mkdir()
        write(tmp_path / name, CHECK, more=more)
    directories = [str(tmp_path / name) for name in ("on", "off", "gone")]
    write(tmp_path, CHECK, more=f"multi_instance_directories = {' '.join(directories)}")
    found = other_instances(Postconf(tmp_path))

    assert found == [directories[0], directories[2]]
    assert examined(tmp_path, f"{CHECK}, {PERMITS}")._replace(instances=found).answer is Answer.UNKNOWN
