"""Logins and addresses in a mail log."""

from pathlib import Path

from admin.doctor.seen_clients import newest_mails

LINE = (
    "Nov 23 12:00:0{0} mail postfix/smtps/smtpd[1]: A{0}: client=unknown[172.22.1.1], "
    "sasl_method=PLAIN, sasl_username=user{0}\n"
)


def test_mails_of_users_are_found(tmp_path: Path) -> None:
    """Lines of others, and half ones, are passed over."""
    log = tmp_path / "mail.log"
    log.write_text("half, sasl_username=x smtpd[1]:\n" + LINE.format(1) + "other\n" + LINE.format(2))

    assert sorted(newest_mails(log)) == [(b"user1", b"172.22.1.1"), (b"user2", b"172.22.1.1")]
