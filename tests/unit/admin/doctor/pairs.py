"""Small pairs of main.cf and master.cf for the unit tests."""

from pathlib import Path

from admin.doctor import ucr
from admin.doctor.endpoint import OurService
from admin.doctor.examination import Examination, examine
from admin.doctor.mends import Bench
from admin.doctor.postconf import Postconf
from chassis.sockets import Listeners
from tests.e2e.postfix import settle
from tests.support.programs import require_program

OURS = OurService(Listeners(("127.0.0.1",), 12345))
CHECK = "check_policy_service { inet:127.0.0.1:12345, timeout=10s, default_action=DUNNO }"
PERMITS = "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination"
SMTP = "smtp inet n - n - - smtpd\n"
SUBMISSION = "submission inet n - n - - smtpd -o smtpd_sasl_auth_enable=yes"
COMMON = "compatibility_level = 3.6\nmyhostname = mail.example.org\nmynetworks = 127.0.0.0/8\n"


def write(directory: Path, recipient: str, master: str = SMTP + SUBMISSION, more: str = "") -> None:
    """A pair with these recipient restrictions."""
    require_program("postconf", packages="postfix")
    (directory / "main.cf").write_text(f"{COMMON}{more}\nsmtpd_recipient_restrictions = {recipient}\n")
    (directory / "master.cf").write_text(f"{master}\n")
    settle(directory)


def examined(directory: Path, recipient: str, master: str = SMTP + SUBMISSION, more: str = "") -> Examination:
    """The same, examined."""
    write(directory, recipient, master, more)
    return examine(Postconf(directory), OURS)


def bench(examination: Examination, registry: dict[str, str] | None = None) -> Bench:
    """What findings and mends are made from."""
    return Bench(examination, OURS, None if registry is None else ucr.Registry(registry))
