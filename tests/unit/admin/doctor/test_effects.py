"""What single restrictions and tables do."""

import pytest

from admin.doctor.clients import Kind, Networks, Origin
from admin.doctor.effects import Effects, Surroundings
from admin.doctor.flows import End, Stage
from admin.doctor.tables import Tables

LOGIN = Kind(login=True, origin=Origin.OUTSIDE)


def effects(
    kind: Kind = LOGIN, networks: str = "127.0.0.0/8", asking: bool = False, **values: str
) -> Effects:
    tables = Tables()
    classes = {"guard": ["check_policy_service", "inet:127.0.0.1:12345"]} if asking else {}
    return Effects(
        Surroundings(
            {"smtpd_sasl_auth_enable": "yes"} | values,
            classes,
            Networks.parse(networks, tables),
            tables,
            lambda endpoint: False,
        ),
        kind,
    )


def ends(effects: Effects, name: str, stage: Stage = Stage.RCPT) -> list[End] | None:
    flows = effects.simple(name, stage)
    return None if flows is None else [flow.end for flow in flows]


@pytest.mark.parametrize("name", ["reject_strangers", "defer_all", "check_mine", "permit_team", "rejected"])
def test_names_like_those_of_restrictions_are_not_known(name: str) -> None:
    """They may be restriction classes, which may permit."""
    assert ends(effects(), name) is None


@pytest.mark.parametrize(
    ("stage", "end"),
    [(Stage.CONNECT, End.NEXT), (Stage.HELO, End.NEXT), (Stage.MAIL, End.PERMIT), (Stage.RCPT, End.PERMIT)],
)
def test_nobody_has_logged_in_before_mail(stage: Stage, end: End) -> None:
    """Whatever smtpd_delay_reject=no puts there."""
    assert ends(effects(), "permit_sasl_authenticated", stage) == [end]


@pytest.mark.parametrize(
    ("command", "first"),
    [
        ("check_client_access", Stage.CONNECT),
        ("check_reverse_client_hostname_access", Stage.CONNECT),
        ("check_helo_access", Stage.HELO),
        ("check_sender_access", Stage.MAIL),
        ("check_sasl_access", Stage.MAIL),
        ("check_recipient_access", Stage.RCPT),
    ],
)
def test_a_table_is_looked_up_from_a_stage_on(command: str, first: Stage) -> None:
    """Before, there is no key: it refuses nothing and permits nothing."""
    stages = list(Stage)
    found = [effects().answers(command, "inline:{ { x = OK } }", stage) for stage in stages]

    assert [len(answers) > 1 for answers in found] == [
        stages.index(stage) >= stages.index(first) for stage in stages
    ]


@pytest.mark.parametrize(
    ("networks", "protocols", "found"),
    [
        ("127.0.0.0/8", "all", [End.PERMIT]),
        ("[::1]/128", "all", [End.NEXT, End.PERMIT]),
        ("[::1]/128", "ipv4", [End.NEXT]),
        ("192.0.2.0/24", "all", [End.NEXT]),
    ],
)
def test_this_host_has_two_addresses_of_its_own(networks: str, protocols: str, found: list[End]) -> None:
    """One of them in mynetworks is enough to be permitted."""
    here = Kind(login=True, origin=Origin.HOST)

    assert ends(effects(here, networks, inet_protocols=protocols), "permit_mynetworks") == found


def test_a_table_that_cannot_be_read_may_lead_to_the_check() -> None:
    """If there is a class with one; otherwise mail certainly passes it unasked."""
    for asking in (False, True):
        (without, _), (permitting, answer) = effects(asking=asking).answers(
            "check_sender_access", "mysql:/x", Stage.RCPT
        )

        assert without.certain is not asking
        assert (permitting.certain, answer) == (False, "OK")
