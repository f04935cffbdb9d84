"""univention-mtpolicyd-activate against a real Postfix: who is asked, at which place, and what is undone."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtpolicyd_ucs import activation
from tests.e2e.postfix import LOCAL, PASSWORD
from tests.e2e.test_check_positions import Asked, asking
from tests.support.policy import AMERICAN, GERMAN
from tests.support.services import Services, running
from tests.support.ucr import Ucr
from tests.ucs.postfix import OPTIONS, SLOTS, SUBMISSION, Neighbour, Ucs, UcsPostfix, mtpolicyctl

ACTIVATION = "var/lib/univention-mtpolicyd-activate/activation.json"
FOREIGN = "bob@example.net"
PORTS = ("smtp", "smtps", "submission")
OWN_LIST = {
    f"{OPTIONS}submission/smtpd_recipient_restrictions": "$submission_recipient_restrictions",
    f"{OPTIONS}smtps/smtpd_recipient_restrictions": "$submission_recipient_restrictions",
    f"{SUBMISSION}10": "permit_sasl_authenticated",
    f"{SUBMISSION}50": "reject",
}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ucs]:
    directory = tmp_path_factory.mktemp("server")
    ucr = Ucr(directory / "ucs")
    ucr("register", "univention-mtpolicyd")
    with UcsPostfix(ucr) as postfix, running(directory, CONFIG=str(ucr.settings_file)) as services:
        ucr.program("usr/bin/mtpolicyctl", mtpolicyctl(services, ucr.settings_file))
        yield Ucs(ucr, postfix, services)


@pytest.fixture
def ucs(server: Ucs) -> Iterator[Ucs]:
    """As it is after the installation; afterwards as it was."""
    before = server.variables()
    yield server
    if (server.ucr.root / ACTIVATION).exists():
        server.activate("--deactivate")
    now = server.variables()
    if now != before:
        if added := now.keys() - before.keys():
            server.ucr("unset", *added)
        server.set(*(f"{name}={value}" for name, value in before.items() if now.get(name) != value))


@pytest.fixture
def login(server: Ucs) -> str:
    login = f"user{next(_numbers)}@example.org"
    server.postfix.add_login(login)
    return login


def check(services: Services) -> str:
    return f"check_policy_service {{ inet:127.0.0.1:{services.port}, timeout=10s, default_action=DUNNO }}"


def asked_at(ucs: Ucs, port: str, login: str, client: str = GERMAN) -> Asked:
    """What the service is asked about a mail with a login to two recipients."""
    with asking(ucs.services) as asked:
        ucs.postfix.send(port, FOREIGN, LOCAL, client=client, login=login)
    return asked


def test_installing_changes_nothing_in_postfix(ucs: Ucs, login: str) -> None:
    """Nobody is asked before the activation."""
    assert [asked_at(ucs, port, login) for port in PORTS] == [{}, {}, {}]


def test_after_the_activation_every_port_asks_about_each_recipient(ucs: Ucs, login: str) -> None:
    """Of users from everywhere, and of webmail on the host."""
    told = ucs.activate().stdout

    assert ucs.variables()[f"{SLOTS}08-mtpolicyd"] == check(ucs.services)
    assert told.count("(proven)") == 3
    assert [asked_at(ucs, port, login) for port in PORTS] == [{"RCPT": 2}] * 3
    assert asked_at(ucs, "submission", login, client="") == {"RCPT": 2}
    replies = ucs.postfix.send("submission", FOREIGN, client=AMERICAN, login=login)
    assert replies.recipients[0].startswith("554 5.7.1 ")


def test_it_tells_which_rules_hold_and_how_to_undo_it(ucs: Ucs) -> None:
    """Without an option it changes none of them."""
    enforced, observed = (ucs.activate(*options).stdout for options in ([], ["--observe"]))

    rules = "mtpolicyd/countrymode=enforce mtpolicyd/allowedcountries=DE mtpolicyd/quotamode=enforce"
    assert rules in enforced
    assert "mtpolicyd/threshold=1000" in enforced
    assert "mtpolicyd/countrymode=observe" in observed
    assert "univention-mtpolicyd-activate --deactivate" in enforced


def test_it_tells_what_no_place_covers(ucs: Ucs) -> None:
    """Each time."""
    told = ucs.activate().stdout

    assert "sendmail" in told
    assert "webmail" in told
    assert "mailing list" in told


def test_a_second_activation_changes_nothing(ucs: Ucs) -> None:
    """And what the first one wrote down still undoes it."""
    before = ucs.variables()
    ucs.activate()
    once = ucs.variables()
    ucs.activate()
    assert ucs.variables() == once

    ucs.activate("--deactivate")
    assert ucs.variables() == before


@pytest.mark.parametrize(
    "options",
    [
        [],
        pytest.param(["--end-of-data"], marks=pytest.mark.full),
        pytest.param(["--observe"], marks=pytest.mark.full),
        ["--observe", "--end-of-data"],
    ],
)
def test_deactivation_undoes_exactly_what_was_done(ucs: Ucs, login: str, options: list[str]) -> None:
    """UCR is as before, and Postfix asks nobody."""
    before = ucs.variables()
    ucs.activate(*options, check=False)
    assert ucs.variables() != before
    ucs.activate("--deactivate")

    assert ucs.variables() == before
    assert [asked_at(ucs, port, login) for port in PORTS] == [{}, {}, {}]
    assert "nothing was activated" in ucs.activate("--deactivate").stdout


def test_what_somebody_has_changed_since_is_his(ucs: Ucs) -> None:
    """It stays, and is told."""
    ucs.activate("--observe")
    ucs.ucr("set", "mtpolicyd/quotamode=enforce", f"{SLOTS}08-mtpolicyd=warn_if_reject reject")
    told = ucs.activate("--deactivate").stdout

    assert ucs.variables()["mtpolicyd/quotamode"] == "enforce"
    assert ucs.variables()["mtpolicyd/countrymode"] == "enforce"
    assert ucs.variables()[f"{SLOTS}08-mtpolicyd"] == "warn_if_reject reject"
    assert "mtpolicyd/quotamode was changed since" not in told or "stays 'enforce'" in told
    assert f"{SLOTS}08-mtpolicyd was changed since" in told


def test_what_still_asks_after_the_deactivation_is_told(ucs: Ucs) -> None:
    """Without our service such a check puts mail off: the admin, who has set it, has to unset it."""
    names = (f"{SLOTS}79", f"{OPTIONS}submission/smtpd_data_restrictions")
    ucs.set(*(f"{name}=check_policy_service,inet:localhost:{ucs.services.port}" for name in names))
    ucs.activate("--observe")
    for _ in ("activated", "not activated"):
        done = ucs.activate("--deactivate")
        assert "Postfix no longer asks" not in done.stdout
        for name in names:
            assert f"{name} still asks, and was not set here" in done.stderr
            assert f"ucr unset {name}" in done.stderr
        assert "mtpolicyd/countrymode=enforce" in done.stdout


def test_without_postfix_nothing_is_changed(ucs: Ucs) -> None:
    """One line, exit code 2; the deactivation has nothing to reload."""
    before = ucs.variables()
    without = f"{ucs.ucr.root}/usr/bin:/usr/bin:/bin"
    hidden = ucs.ucr.root / "usr/bin/postfix"
    hidden.rename(hidden.with_suffix(".hidden"))
    try:
        done = ucs.activate("--observe", check=False, path=without)
        assert ucs.activate("--deactivate", path=without).returncode == 0
    finally:
        hidden.with_suffix(".hidden").rename(hidden)

    assert done.returncode == 2
    assert done.stderr == "univention-mtpolicyd-activate: nothing is changed: Postfix is not installed\n"
    assert ucs.variables() == before


def test_a_list_of_its_own_for_465_and_587_gets_the_check_too(ucs: Ucs, login: str) -> None:
    """Slot 08 of the list of all ports is never asked there."""
    ucs.set(*(f"{name}={value}" for name, value in OWN_LIST.items()))
    told = ucs.activate().stdout

    assert {name for name in ucs.variables() if "08-mtpolicyd" in name} == {
        f"{SLOTS}08-mtpolicyd",
        f"{SUBMISSION}08-mtpolicyd",
    }
    assert told.count("(proven)") == 3
    assert [asked_at(ucs, port, login) for port in PORTS] == [{"RCPT": 2}] * 3


def test_a_list_that_the_site_has_written_itself_is_left_alone_and_told(ucs: Ucs, login: str) -> None:
    """With exit code 1: users log in there, and nothing is asked."""
    name = f"{OPTIONS}submission/smtpd_recipient_restrictions"
    ucs.set(f"{name}=permit_sasl_authenticated,reject")
    done = ucs.activate(check=False)

    assert done.returncode == 1
    assert f"{name} is a list of the site's own" in done.stdout
    assert "users log in there, and Postfix does not ask about their mail" in done.stderr
    assert asked_at(ucs, "submission", login) == {}
    assert asked_at(ucs, "smtps", login) == {"RCPT": 2}


def test_end_of_data_asks_once_for_each_message(ucs: Ucs, login: str) -> None:
    """At 465 and 587; that users can log in at 25, too, is told."""
    done = ucs.activate("--end-of-data", check=False)

    assert done.returncode == 1
    assert done.stderr.count("users log in there") == 1
    assert done.stdout.count("once for each message") == 2
    assert [asked_at(ucs, port, login) for port in PORTS] == [
        {},
        {"END-OF-MESSAGE": 1},
        {"END-OF-MESSAGE": 1},
    ]


def test_end_of_data_comes_before_what_a_site_has_there(ucs: Ucs, login: str) -> None:
    """And goes again alone."""
    name = f"{OPTIONS}submission/smtpd_end_of_data_restrictions"
    ucs.set(f"{name}=permit_mynetworks,reject")
    ucs.activate("--end-of-data", check=False)

    assert ucs.variables()[name].endswith(",permit_mynetworks,reject")
    assert asked_at(ucs, "submission", login, client="") == {"END-OF-MESSAGE": 1}
    ucs.activate("--deactivate")
    assert ucs.variables()[name] == "permit_mynetworks,reject"


def test_one_form_takes_the_place_of_the_other(ucs: Ucs, login: str) -> None:
    """Nothing of the first one is left."""
    before = ucs.variables()
    ucs.activate()
    ucs.activate("--end-of-data", check=False)
    assert f"{SLOTS}08-mtpolicyd" not in ucs.variables()
    assert asked_at(ucs, "submission", login) == {"END-OF-MESSAGE": 1}
    ucs.activate("--deactivate")

    assert ucs.variables() == before


@pytest.mark.parametrize("options", [[], pytest.param(["--end-of-data"], marks=pytest.mark.full)])
def test_after_a_move_of_the_service_it_is_called_again(ucs: Ucs, options: list[str]) -> None:
    """Nothing of the old address is left, and the deactivation still undoes all of it."""
    before = ucs.variables()
    old, new = str(ucs.services.port), "127.0.0.1:1"
    ucs.activate(*options, check=False)
    kept = {name: value for name, value in ucs.variables().items() if before.get(name) != value}
    # As if the service had been elsewhere when it was activated.
    path = ucs.ucr.root / ACTIVATION
    path.write_text(path.read_text().replace(f"127.0.0.1:{old}", new))
    ucs.set(*(f"{name}={value.replace(f'127.0.0.1:{old}', new)}" for name, value in kept.items()))
    told = ucs.ucr("set", "mtpolicyd/debug=2").stderr
    assert "Postfix still asks where the service was before: run univention-mtpolicyd-activate again" in told
    ucs.ucr("set", "mtpolicyd/debug=1")

    ucs.activate(*options, check=False)
    assert {name: ucs.variables()[name] for name in kept} == kept
    ucs.activate("--deactivate")
    assert ucs.variables() == before


def test_observe_refuses_nobody(ucs: Ucs, login: str) -> None:
    """From the first mail on: the rules look before Postfix asks."""
    ucs.activate("--observe")
    replies = ucs.postfix.send("submission", FOREIGN, client=AMERICAN, login=login)

    assert replies.accepted
    assert "reason=country mode=observe stage=RCPT" in ucs.services.log("decision")


def test_neighbours_are_asked_as_before(ucs: Ucs, login: str) -> None:
    """listfilter at 05, greylisting at 40, dovecot's quota at 80: before, during and after."""
    neighbours = {"05-listfilter": Neighbour(), "40-greylisting": Neighbour(), "80": Neighbour()}
    for slot, neighbour in neighbours.items():
        ucs.set(f"{SLOTS}{slot}=check_policy_service inet:127.0.0.1:{neighbour.port}")

    def heard() -> dict[str, list[str]]:
        for neighbour in neighbours.values():
            neighbour.asked.clear()
        ucs.postfix.send("submission", FOREIGN, client=GERMAN, login=login)
        ucs.postfix.send("smtp", LOCAL, client=AMERICAN)
        return {slot: list(neighbour.asked) for slot, neighbour in neighbours.items()}

    with (
        neighbours["05-listfilter"].serving(),
        neighbours["40-greylisting"].serving(),
        neighbours["80"].serving(),
    ):
        before = heard()
        ucs.activate()
        during = heard()
        ucs.activate("--deactivate")
        after = heard()

    # What follows permit_sasl_authenticated sees only mail from outside.
    assert before == {"05-listfilter": [FOREIGN, LOCAL], "40-greylisting": [LOCAL], "80": [LOCAL]}
    assert during == before
    assert after == before


def test_the_documented_slot_79_stays_and_is_told(ucs: Ucs, login: str) -> None:
    """It sees no user: alone it does nothing, and beside slot 08 it does no harm."""
    name = f"{SLOTS}79"
    ucs.set(f"{name}=check_policy_service inet:127.0.0.1:{ucs.services.port}")
    assert asked_at(ucs, "submission", login) == {}
    replies = ucs.postfix.send("smtp", LOCAL, client=AMERICAN)
    assert replies.accepted

    told = ucs.activate().stdout
    assert f"{name} asks too, but sees no mail with a login" in told
    assert asked_at(ucs, "submission", login) == {"RCPT": 2}
    assert ucs.postfix.send("smtp", LOCAL, client=AMERICAN).accepted
    ucs.activate("--deactivate")
    assert name in ucs.variables()


def test_a_check_that_was_put_there_by_hand_is_enough(ucs: Ucs, login: str) -> None:
    """No second one is added, and the deactivation leaves it."""
    name = f"{SLOTS}07-ours"
    ucs.set(f"{name}=check_policy_service inet:127.0.0.1:{ucs.services.port}")
    ucs.activate()

    assert f"{SLOTS}08-mtpolicyd" not in ucs.variables()
    assert asked_at(ucs, "submission", login) == {"RCPT": 2}
    ucs.activate("--deactivate")
    assert name in ucs.variables()


def test_a_permit_before_slot_08_moves_the_check_before_it(ucs: Ucs, login: str) -> None:
    """A site may permit early."""
    ucs.set(f"{SLOTS}05=permit_sasl_authenticated")
    ucs.activate()

    assert f"{SLOTS}00-mtpolicyd" in ucs.variables()
    assert asked_at(ucs, "submission", login) == {"RCPT": 2}


@pytest.mark.full
def test_a_port_that_lets_nobody_in_without_a_login_is_proven_with_one(ucs: Ucs, login: str) -> None:
    """No mail is sent for it."""
    name = f"{OPTIONS}submission/smtpd_client_restrictions"
    ucs.set(f"{name}=permit_sasl_authenticated,reject")
    assert "--login NAME proves it" in ucs.activate().stdout

    before = ucs.postfix.log().count("status=sent")
    done = ucs.activate("--login", login, password=PASSWORD)
    assert done.stdout.count("(proven)") == 3
    assert ucs.postfix.log().count("status=sent") == before
    wrong = ucs.activate("--login", login, password="wrong")
    assert "not proven by a mail: (535" in wrong.stdout


def test_nothing_is_changed_while_the_service_does_not_answer(ucs: Ucs) -> None:
    """One line, exit code 2."""
    before = ucs.variables()
    command = ucs.ucr.root / "usr/bin/mtpolicyctl"
    text = command.read_text()
    # Nobody listens at this port.
    command.write_text(text.replace(f"MTPOLICYD_PORT='{ucs.services.port}'", "MTPOLICYD_PORT='1'"))
    try:
        done = ucs.activate("--observe", check=False)
    finally:
        command.write_text(text)

    assert done.returncode == 2
    assert "nothing is changed: the service does not answer (no answer from 127.0.0.1 port 1" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert ucs.variables() == before


def test_only_root_may(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit code 2; nothing is half done."""
    monkeypatch.setattr(os, "geteuid", lambda: 65534)

    assert activation.main(["--observe"]) == activation.main(["--deactivate"]) == 2
    assert (
        capsys.readouterr().err.splitlines()
        == ["univention-mtpolicyd-activate: nothing is changed: only root may"] * 2
    )


def test_a_wrong_option_is_one_line_and_exit_code_2(ucs: Ucs, tmp_path: Path) -> None:
    """As with every command of ours."""
    done = ucs.activate("--everywhere", check=False)

    assert done.returncode == 2
    assert "unrecognized arguments: --everywhere" in done.stderr
