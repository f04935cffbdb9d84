"""What postconf prints."""

from pathlib import Path

import pytest

from admin.doctor.postconf import Postconf, PostfixMissing, program, read_service
from tests.unit.admin.doctor.pairs import CHECK, SMTP, SUBMISSION, write


def test_a_service_is_read_with_its_options() -> None:
    """Braces keep an option together, and overrides come from postconf -P."""
    line = "587 inet n - y - - smtpd -o a=b -o {c=d e}"
    service = read_service(line, {"587/inet": {"a": "b", "c": "d e"}})

    assert (service.name, service.type, service.chroot, service.command) == ("587", "inet", "y", "smtpd")
    assert service.arguments == ("-o", "a=b", "-o", "{c=d e}")
    assert service.overrides == {"a": "b", "c": "d e"}
    assert service.key == "587/inet"
    assert service.doubtful == ""


def test_an_option_that_postconf_cuts_is_in_doubt() -> None:
    """`-oname=value` is printed in pieces."""
    assert read_service("25 inet n - n - - smtpd -o smtpd_hel -o _x=y", {}).doubtful == "smtpd_hel"


def test_postfix_expands_what_we_read(tmp_path: Path) -> None:
    """Names, continuation lines, comments and overrides are Postfix's business."""
    write(tmp_path, "$guard,\n  # a comment\n  reject", more=f"guard = {CHECK}")
    postconf = Postconf(tmp_path)

    assert postconf.main()["smtpd_recipient_restrictions"] == "$guard, reject"
    assert postconf.values(["smtpd_recipient_restrictions"]) == {
        "smtpd_recipient_restrictions": f"{CHECK}, reject"
    }
    assert postconf.values(["smtpd_recipient_restrictions"], {"guard": "x"}) == {
        "smtpd_recipient_restrictions": "x, reject"
    }
    assert [service.name for service in postconf.services()] == ["smtp", "submission"]
    assert postconf.services()[1].overrides == {"smtpd_sasl_auth_enable": "yes"}


def test_a_service_that_stands_twice_is_in_doubt(tmp_path: Path) -> None:
    """master(8) uses the last line; postconf gives it the options of both."""
    write(tmp_path, "reject", f"{SMTP}{SUBMISSION}\n{SUBMISSION.split(' -o')[0]}")
    services = Postconf(tmp_path).services()

    assert [(service.key, service.twice) for service in services] == [
        ("smtp/inet", False),
        ("submission/inet", True),
    ]


def test_a_configuration_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """In postconf's own words."""
    write(tmp_path, "reject", SMTP)
    (tmp_path / "master.cf").write_text("smtp inet\n")

    with pytest.raises(PostfixMissing, match=r"cannot be read: .*master\.cf"):
        Postconf(tmp_path).services()


def test_a_host_without_postfix_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no traceback."""
    monkeypatch.setattr("admin.doctor.postconf.SEARCH_PATH", "/nowhere")

    with pytest.raises(PostfixMissing, match="there is no postconf here"):
        program("postconf")
