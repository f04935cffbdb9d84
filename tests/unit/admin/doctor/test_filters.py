"""What takes mail once the service was asked about it."""

from pathlib import Path

import pytest

from admin.doctor.filters import behind_smtpd, named
from admin.doctor.flows import Filter
from admin.doctor.tables import Tables


def behind(values: dict[str, str], cleanup: dict[str, str]) -> list[tuple[str, str]]:
    found = behind_smtpd(values, cleanup, Tables())
    return [(one.kind, one.name) for one in found]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({}, []),
        ({"smtpd_milters": "inet:h:1, unix:a"}, [("milter", "inet:h:1"), ("milter", "unix:a")]),
        (
            {"smtpd_milters": "{ inet:h:1, connect_timeout = 1s } {}"},
            [("milter", "inet:h:1"), ("milter", "{}")],
        ),
        ({"smtpd_milters": "inet:h:1", "receive_override_options": "no_milters"}, []),
        ({"smtpd_milter_maps": "inline:{ { a = DISABLE }, { b = inet:h:2 } }"}, [("milter", "inet:h:2")]),
        ({"smtpd_milter_maps": "mysql:/x"}, [("milter", "mysql:/x")]),
        ({"smtpd_proxy_filter": "127.0.0.1:10024"}, [("filter", "127.0.0.1:10024")]),
    ],
)
def test_what_smtpd_hands_mail_to(values: dict[str, str], found: list[tuple[str, str]]) -> None:
    """And what is switched off is not there."""
    assert behind(values, {}) == found


def test_tables_of_content_may_name_a_filter(tmp_path: Path) -> None:
    """By each table; what cannot be read may do so."""
    checks = tmp_path / "checks"
    checks.write_text("/^A/ filter smtp:[127.0.0.1]:10026\n/^B/ WARN\n")
    cleanup = {"header_checks": f"regexp:{checks}", "body_checks": "mysql:/x"}

    assert behind({}, cleanup) == [("filter", "smtp:[127.0.0.1]:10026"), ("checks_unread", "mysql:/x")]
    assert behind({"receive_override_options": "no_header_body_checks"}, cleanup) == []


def test_a_filter_action_takes_the_place_of_content_filter() -> None:
    """Which is for mail that meets none."""
    action, values = Filter("filter", "t", "x:1"), {"content_filter": "y:2"}

    assert [one.name for one in named([action], values)] == ["x:1"]
    assert [one.name for one in named([action, None], values)] == ["x:1", "y:2"]
    assert list(named([None], {"content_filter": ""})) == []
