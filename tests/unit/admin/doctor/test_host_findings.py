"""What is wrong on the host."""

from pathlib import Path

import pytest

from admin.doctor import host_findings as module
from admin.doctor.host_findings import hidden_clients, of_host, strangers
from tests.unit.admin.doctor.pairs import CHECK, PERMITS, SMTP, SUBMISSION, bench, examined

PICKUP = "\npickup unix n - n 60 1 pickup"
SLOT = "mail/postfix/smtpd/restrictions/recipient/"


def ids(*found: object) -> list[str]:
    return [str(getattr(finding, "id", "")) for finding in found]


@pytest.mark.parametrize(("accounts", "found"), [([], "sendmail"), (["www-data"], "sendmail_web")])
def test_sendmail_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accounts: list[str], found: str
) -> None:
    """Web applications are worth a warning, and the command that forbids it."""
    monkeypatch.setattr(module, "web_accounts", lambda: accounts)
    findings = of_host(bench(examined(tmp_path, CHECK, SMTP + SUBMISSION + PICKUP)))

    assert findings[0].id == found
    assert bool(findings[0].mend) == bool(accounts)


def test_a_host_without_logins_is_told(tmp_path: Path) -> None:
    """There is nothing to guard."""
    assert "no_login" in ids(*of_host(bench(examined(tmp_path, CHECK, SMTP))))


@pytest.mark.parametrize(
    ("name", "permit", "twisted"), [("100", "30", True), ("8", "10", True), ("20", "30", False)]
)
def test_keys_of_ucr_that_sort_wrongly_are_told(
    tmp_path: Path, name: str, permit: str, twisted: bool
) -> None:
    """UCS sorts them as strings."""
    registry = {f"{SLOT}{name}": CHECK, f"{SLOT}{permit}": "permit_sasl_authenticated"}
    found = of_host(bench(examined(tmp_path, f"{CHECK}, {PERMITS}"), registry))

    assert ("ucr_key_order" in ids(*found)) is twisted


def test_what_ucr_has_and_main_cf_has_not_is_told(tmp_path: Path) -> None:
    """And a blank where none may be."""
    options = "mail/postfix/mastercf/options/submission/smtpd_end_of_data_restrictions"
    registry = {f"{SLOT}08-mtpolicyd": CHECK, options: CHECK}
    found = of_host(bench(examined(tmp_path, PERMITS), registry))

    assert {"ucr_not_in_force", "ucr_blank"} <= set(ids(*found))


def test_other_instances_and_unknown_filters_are_told(tmp_path: Path) -> None:
    """The one with the command that asks about it."""
    examination = examined(tmp_path, f"{CHECK}, {PERMITS}")
    examination = examination._replace(instances=["/etc/postfix-out"], accepted=frozenset({"inet:a:1"}))
    found = {one.id: one for one in of_host(bench(examination))}

    assert found["other_instance"].mend == ("mtpolicyctl doctor --config-dir /etc/postfix-out",)
    assert found["accepted_filter_missing"].details == ("inet:a:1",)


def test_something_else_on_a_submission_port_is_seen(tmp_path: Path) -> None:
    """By the kernel's table; 587 is Postfix's own here."""
    table = tmp_path / "tcp"
    table.write_text(
        "  sl  local_address rem_address   st\n"
        "   0: 00000000:01D1 00000000:0000 0A\n"
        "   1: 00000000:024B 00000000:0000 0A\n"
        "   2: 00000000:0019 00000000:0000 01\n"
    )

    assert strangers(examined(tmp_path, CHECK), [table]) == [465]


def test_clients_behind_one_private_address_are_told() -> None:
    """Several logins that nearly all have it."""
    mails = [(b"u%d" % number, b"172.22.1.1") for number in range(20)]
    found = hidden_clients([*mails, (b"u1", b"84.128.0.1")])

    assert found is not None
    assert found.details == ("172.22.1.1", "20", "20", "21")
    assert hidden_clients([(b"u1", b"172.22.1.1")] * 20) is None
    assert hidden_clients([(b"u%d" % number, b"84.128.0.%d" % number) for number in range(20)]) is None
    assert hidden_clients([]) is None
