"""One mail in one list."""

import pytest

from admin.doctor.clients import Kind, Networks, Origin
from admin.doctor.effects import Surroundings
from admin.doctor.flows import End, Stage
from admin.doctor.lists import split_braced
from admin.doctor.tables import Tables
from admin.doctor.walker import Walker

OURS = "check_policy_service inet:127.0.0.1:12345"
LOGIN, OPEN = Kind(login=True, origin=Origin.OUTSIDE), Kind(login=False, origin=Origin.OUTSIDE)
HERE = Kind(login=True, origin=Origin.HOST)


def walk(text: str, kind: Kind = LOGIN, *, stage: Stage = Stage.RCPT, **values: str) -> set[str]:
    """Each flow as `END`, `END asked`, with `?` in doubt and `if` by an entry."""
    tables = Tables()
    classes = {"guard": split_braced(OURS), "loop": ["loop"], "open": ["permit"]}
    classes |= {"reject_mine": ["permit"], "check_mine_access": ["permit"]}
    surroundings = Surroundings(
        {"smtpd_sasl_auth_enable": "yes"} | values,
        classes,
        Networks.parse("127.0.0.0/8", tables),
        tables,
        lambda endpoint: endpoint.endswith(":12345"),
    )
    flows = Walker(surroundings, kind).walk("smtpd_recipient_restrictions", split_braced(text), stage)
    return {
        " ".join(
            [
                *(["next"] if flow.end is End.NEXT else ["permit"]),
                *(["asked"] if any(ask.service.endpoint.endswith(":12345") for ask in flow.asks) else []),
                *(["if"] if flow.conditions else []),
                *(["?"] if flow.doubts else []),
            ]
        )
        for flow in flows
    }


@pytest.mark.parametrize(
    ("text", "flows"),
    [
        ("", {"next"}),
        (OURS, {"next asked"}),
        (f"PERMIT_SASL_AUTHENTICATED, {OURS}", {"permit"}),
        (f"permit_mynetworks, {OURS}", {"next asked"}),
        (f"reject_unknown_client_hostname, reject_rbl_client permit, {OURS}", {"next asked"}),
        (f"reject, {OURS}", set()),
        (f"warn_if_reject reject, {OURS}", {"next asked"}),
        (f"check_policy_service inet:x:1, {OURS}", {"next asked", "permit ?"}),
        ("guard, permit", {"permit asked"}),
        (f"open, {OURS}", {"permit"}),
        (f"loop, {OURS}", set()),
        (f"permit_new_thing, {OURS}", {"next asked", "permit ?"}),
        (f"check_client_access static:OK, {OURS}", {"permit"}),
        (f"static:DUNNO, {OURS}", {"next asked"}),
        (f"check_sender_access inline:{{a=OK}}, {OURS}", {"next asked", "permit if"}),
        (f"check_sender_access inline:{{a=554}}, {OURS}", {"next asked", "permit if"}),
        (f"check_sender_access inline:{{{{a=554 no}}}}, {OURS}", {"next asked"}),
        (f"check_sender_access inline:{{{{a=x:y}}}}, {OURS}", {"next asked"}),
        (f"check_sender_mx_access inline:{{a=OK}}, {OURS}", {"next asked"}),
        ("check_sasl_access static:guard", {"next asked"}),
        ("check_sender_access inline:{a=guard}", {"next", "next asked if"}),
        (f"check_client_access cidr:{{{{127.0.0.0/8 OK}}}}, {OURS}", {"next asked"}),
        (f"check_sender_access mysql:/x, {OURS}", {"next asked ?", "permit ?"}),
        (f"check_policy_service nonsense, {OURS}", set()),
        (f"reject_mine, {OURS}", {"permit"}),
        (f"check_mine_access, {OURS}", {"permit"}),
    ],
)
def test_what_a_list_does_to_mail_with_a_login(text: str, flows: set[str]) -> None:
    """As generic_checks() and check_table_result() of smtpd_check.c."""
    assert walk(text) == flows


def test_what_a_list_does_to_other_mail() -> None:
    """A login is none without SASL, and this host is in mynetworks."""
    assert walk(f"permit_sasl_authenticated, {OURS}", OPEN) == {"next asked"}
    assert walk(f"permit_mynetworks, {OURS}", HERE) == {"permit"}
    assert walk(f"permit_inet_interfaces, {OURS}", HERE) == {"permit"}
    assert walk(f"permit_sasl_authenticated, {OURS}", smtpd_sasl_auth_enable="no") == {"next asked"}
    assert walk("check_sasl_access static:guard", OPEN) == {"next"}


def test_a_table_of_recipients_is_not_looked_up_for_several() -> None:
    """At DATA there may be no single recipient."""
    assert walk("check_recipient_access static:guard", stage=Stage.DATA) == {"next", "next asked if"}


def test_certificates_count_where_they_are_asked_for() -> None:
    """Otherwise nobody has one."""
    text = f"permit_tls_clientcerts, {OURS}"

    assert walk(text) == {"next asked"}
    assert walk(text, smtpd_tls_ask_ccert="yes") == {"next asked", "permit ?"}


def test_a_table_may_not_name_a_service() -> None:
    """Postfix refuses such mail; at DATA a bare table is an error too."""
    assert walk(f"check_sender_access inline:{{{{a={OURS}}}}}") == {"next"}


def test_a_filter_action_is_kept_with_the_flow() -> None:
    """The last one counts, and mail that is refused later needs none."""
    text = (
        "check_sender_access inline:{ { a = FILTER x:1 } }, check_sender_access static:{FILTER y:2}, "
        "check_sender_access inline:{ { b = filter z:3 } }"
    )
    tables = Tables()
    surroundings = Surroundings({}, {}, Networks.parse("", tables), tables, lambda endpoint: False)
    flows = Walker(surroundings, OPEN).walk("smtpd_sender_restrictions", split_braced(text), Stage.RCPT)

    assert {flow.filter.name for flow in flows if flow.filter} == {"y:2", "z:3"}
    assert all(flow.filter for flow in flows)
