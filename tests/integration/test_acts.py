"""What an admin does, and what the next mail hears: on real processes."""

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from protos import quota_admin_pb2 as pb
from tests.support.admin import Admin, admin_of
from tests.support.policy import AMERICAN, PolicyClient, new_instance
from tests.support.services import Services, running, wait_until

BERLIN = "Europe/Berlin"
LIMIT = 10  # of conftest.py
CONNECTIONS = 50


@pytest.fixture
def admin(services: Services) -> Iterator[Admin]:
    with admin_of(services) as admin:
        yield admin


def send(policy: PolicyClient, login: str, number: int, **attributes: str) -> list[str]:
    """The answers to so many messages of one recipient each."""
    return [policy.ask(sasl_username=login, instance=new_instance(), **attributes) for _ in range(number)]


def decision_id(answer: str) -> str:
    found = re.search(r"\(id ([0-9a-z]{10})\)", answer)
    assert found, answer
    return found[1]


def now_ms() -> int:
    return round(time.time() * 1000)


def test_from_the_refusal_to_the_next_mail(policy: PolicyClient, admin: Admin) -> None:
    """The user reads an id, the admin explains it and sets a limit; the next mail passes; the audit tells."""
    refused = send(policy, "helped", LIMIT + 1)[-1]
    record = admin.explain(decision_id(refused))
    until = now_ms() + 3_600_000
    admin.change(pb.Change(account=b"helped", set_limit=LIMIT + 2, until_unix_ms=until, reason="fair"))
    answers = send(policy, "helped", 3)
    (entry,) = admin.audit(b"helped")
    usage = admin.calls.Usage(pb.UsageRequest(account=b"helped", time_zone=BERLIN, days=1))

    assert refused.startswith("DEFER 4.7.1 Daily limit of 10 recipients reached")
    assert (record.account, record.rule, record.used, record.maximum) == (b"helped", "quota", LIMIT, LIMIT)
    assert (record.country, record.address, record.settings != "") == ("DE", b"84.128.0.1", True)
    assert answers[:2] == ["DUNNO", "DUNNO"]
    assert answers[2].startswith("DEFER 4.7.1 Daily limit of 12 recipients reached")
    assert (entry.who, entry.what, entry.value, entry.until_unix_ms, entry.reason) == (
        "root@mail",
        "limit",
        str(LIMIT + 2),
        until,
        "fair",
    )
    assert (usage.days[0].used, usage.overrides[0].maximum) == (LIMIT + 2, LIMIT + 2)


def test_an_override_ends_by_itself(policy: PolicyClient, admin: Admin) -> None:
    """Without anybody doing anything; before, during and after it the answer is what was in force."""
    until = now_ms() + 700
    admin.change(pb.Change(account=b"for a moment", lock=True, until_unix_ms=until))
    during = policy.ask(sasl_username="for a moment", instance=new_instance())
    before_end = now_ms() < until
    time.sleep(max(0, until + 1 - now_ms()) / 1000)

    assert not before_end or during.startswith("REJECT 5.7.1 Sending mail with this login is not allowed")
    assert policy.ask(sasl_username="for a moment", instance=new_instance()) == "DUNNO"


def test_a_lock_holds_for_everything(policy: PolicyClient, admin: Admin, services: Services) -> None:
    """Each stage, repeats, exempt or not; it is blocked, counted, explained, and ends with the unlock."""
    before = services.metric("quota", "mtpolicyd_blocks_total", reason="lock")
    instance = new_instance()
    passed = policy.ask(sasl_username="phished", instance=instance)
    admin.change(pb.Change(account=b"phished", lock=True, reason="phished on Monday"))
    answers = [
        policy.ask(sasl_username="phished", instance=instance, protocol_state=stage, recipient_count="1")
        for stage in ("MAIL", "RCPT", "DATA", "END-OF-MESSAGE")
    ]
    blocked = admin.calls.Blocked(pb.BlockedRequest(most=100)).accounts
    record = admin.explain(decision_id(answers[1]))
    admin.change(pb.Change(account=b"phished", unlock=True))

    assert passed == "DUNNO"
    assert {answer.split(" (id")[0] for answer in answers} == {
        "REJECT 5.7.1 Sending mail with this login is not allowed, please ask your postmaster"
    }
    assert not any("Monday" in answer for answer in answers)
    assert [of.rule for of in blocked if of.account == b"phished"] == ["lock"]
    assert (record.rule, record.detail) == ("lock", "phished on Monday")
    assert services.metric("quota", "mtpolicyd_blocks_total", reason="lock") == before + 4
    assert policy.ask(sasl_username="phished", instance=instance) == "DUNNO"


def test_a_traveller_may_send(policy: PolicyClient, admin: Admin, services: Services) -> None:
    """From the permitted country, within his limit; the log says so."""
    refused = policy.ask(sasl_username="voyager", client_address=AMERICAN, instance=new_instance())
    admin.change(pb.Change(account=b"voyager", permit=pb.Countries(codes=["US"])))
    answers = send(policy, "voyager", LIMIT + 1, client_address=AMERICAN)
    blocked = admin.calls.Blocked(pb.BlockedRequest(most=100)).accounts

    assert refused.startswith("REJECT 5.7.1 Sending mail from country US is not allowed")
    assert answers[:LIMIT] == ["DUNNO"] * LIMIT
    assert answers[LIMIT].startswith("DEFER 4.7.1")
    assert [of.rule for of in blocked if of.account == b"voyager"] == ["quota"]
    assert admin.explain(decision_id(refused)).detail == "Sending mail from country US is not allowed"
    assert "permitted=country" in services.log("decision")


def test_a_reset_in_the_middle_of_a_message(policy: PolicyClient, admin: Admin) -> None:
    """What it has been charged stays charged: it goes on for its new recipients only."""
    message = {"sasl_username": "reset", "instance": new_instance()}
    for number in range(LIMIT):
        assert policy.ask(recipient=f"{number}@example.net", **message) == "DUNNO"
    assert policy.ask(recipient="more@example.net", **message).startswith("DEFER")
    admin.change(pb.Change(account=b"reset", reset=BERLIN))
    answers = [policy.ask(recipient=f"{number}@example.net", **message) for number in range(LIMIT + 3)]
    end = policy.ask(protocol_state="END-OF-MESSAGE", recipient_count=str(LIMIT + 3), **message)
    usage = admin.calls.Usage(pb.UsageRequest(account=b"reset", time_zone=BERLIN, days=1))

    assert {*answers, end} == {"DUNNO"}
    assert usage.days[0].used == 3


def test_what_an_admin_ends_is_gone_from_the_metrics(tmp_path: Path) -> None:
    """Totals and list, soon: by a reset, a limit, a permit, an unlock and a purge."""

    def listed() -> tuple[set[str], float]:
        since = "mtpolicyd_blocked_sender_since_timestamp_seconds"
        names = {name for name in ends if services.metric("quota", since, account=name)}
        return names, services.metric("quota", "mtpolicyd_blocked_senders")

    ends = {
        "reset": pb.Change(reset=BERLIN),
        "raised": pb.Change(set_limit=50),
        "permitted": pb.Change(permit=pb.Countries(codes=["US"])),
        "unlocked": pb.Change(unlock=True),
        "purged": pb.Change(purge=True),
    }
    with running(tmp_path, THRESHOLD="1") as services, admin_of(services) as admin:
        admin.change(pb.Change(account=b"unlocked", lock=True))
        with PolicyClient(services.port) as policy:
            for name in ends:
                origin = {"client_address": AMERICAN} if name in {"permitted", "purged"} else {}
                assert send(policy, name, 2, **origin)[-1] != "DUNNO"
        wait_until(lambda: listed() == (set(ends), 5), what="all are listed")

        for name, change in ends.items():
            change.account = name.encode()
        admin.change(*ends.values())
        wait_until(lambda: listed() == (set(), 0), what="none is listed")


def test_a_lock_while_many_connections_send(services: Services, admin: Admin) -> None:
    """After the lock is answered nobody passes; what passed before is what was charged."""
    admin.change(pb.Change(account=b"flooding", set_limit=10**6))
    answers: list[tuple[float, str]] = []
    stop = threading.Event()

    def flood() -> None:
        with PolicyClient(services.port) as client:
            while not stop.is_set():
                asked = time.monotonic()
                answer = client.ask(sasl_username="flooding", instance=new_instance())
                answers.append((asked, answer))

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        senders = [pool.submit(flood) for _ in range(CONNECTIONS)]
        wait_until(lambda: len(answers) > 300, what="mail is sent")
        admin.change(pb.Change(account=b"flooding", lock=True))
        locked = time.monotonic()
        wait_until(lambda: sum(asked > locked for asked, _ in answers) > 300, what="mail is refused")
        stop.set()
        for sender in senders:
            sender.result()
    passed = sum(answer == "DUNNO" for _, answer in answers)
    usage = admin.calls.Usage(pb.UsageRequest(account=b"flooding", time_zone=BERLIN, days=1))

    assert {answer.split(" ")[0] for asked, answer in answers if asked > locked} == {"REJECT"}
    assert passed > 300
    assert [day.used for day in usage.days if day.name == "quota"] == [passed]
    assert [day.refused for day in usage.days if day.name == "lock"] == [len(answers) - passed]


def test_two_admins_at_once(services: Services) -> None:
    """Each request is done whole, one after the other: the audit log tells in which order.

    One admin begins where the other ends: were they mixed, the accounts would not all see the same order.
    """

    def import_list(number: int) -> int:
        with admin_of(services) as admin:
            accounts = range(50) if number == 1 else reversed(range(50))
            changes = [
                pb.Change(account=b"shared%d" % account, set_limit=100 + number) for account in accounts
            ]
            return sum(admin.change(*changes, who=f"admin{number}").done for _ in range(5))

    with ThreadPoolExecutor(2) as pool:
        done = sum(pool.map(import_list, (1, 2)))
    with admin_of(services) as admin:
        listed = admin.calls.ListOverrides(pb.ListOverridesRequest(most=5000)).overrides
        in_force = {override.maximum for override in listed if override.account.startswith(b"shared")}
        entries = [admin.audit(b"shared%d" % account) for account in range(50)]

    assert len(in_force) == 1
    assert sum(map(len, entries)) == done
    assert {int(of[0].value) for of in entries} == in_force
    assert all([entry.value for entry in of] == [entry.value for entry in entries[0]] for of in entries)


def test_wrong_tokens_change_nothing(tmp_path: Path) -> None:
    """And stand in no log, and keep nobody out who has the right one."""
    with running(tmp_path) as services, admin_of(services) as admin:
        token = admin._token
        admin._token = "x"
        codes = []
        for _ in range(12):
            with pytest.raises(grpc.RpcError) as caught:
                admin.change(pb.Change(account=b"a", lock=True))
            codes.append(caught.value.code())
        admin._token = token
        with_the_right_one = admin.change(pb.Change(account=b"a", lock=True)).done
        logs = "".join(services.log(name) for name in ("quota", "decision", "frontend"))
        entries = admin.audit()
        mode = (services.directory / "state/admin.token").stat().st_mode & 0o777
        count = services.metric("quota", "mtpolicyd_admin_tokens_refused_total")

    assert codes == [grpc.StatusCode.UNAUTHENTICATED] * 10 + [grpc.StatusCode.RESOURCE_EXHAUSTED] * 2
    assert with_the_right_one == 1
    assert [entry.what for entry in entries] == ["lock"] + ["token-refused"] * 10
    assert token not in logs
    assert (mode, count) == (0o600, 12)


def test_what_is_set_survives_the_death_of_quota(tmp_path: Path) -> None:
    """Once it was answered; a traveller's mail waits for the restart and is not refused."""
    with running(tmp_path, ON_FAILURE="defer") as services:
        with admin_of(services) as admin:
            admin.change(
                pb.Change(account=b"traveller", permit=pb.Countries(codes=["US"])),
                pb.Change(account=b"phished", lock=True),
            )
        services.kill("quota")
        answers: list[str] = []
        with PolicyClient(services.port) as client:
            asking = threading.Thread(
                target=lambda: answers.append(
                    client.ask(sasl_username="traveller", client_address=AMERICAN, instance=new_instance())
                )
            )
            asking.start()
            services.start("quota")
            asking.join()
            services.wait_connected()
            again = client.ask(sasl_username="traveller", client_address=AMERICAN, instance=new_instance())
            locked = client.ask(sasl_username="phished", instance=new_instance())

    # The first answer depends on how long quota's start takes: within its deadline the mail passes.
    assert answers[0] == "DUNNO" or answers[0].startswith("REJECT 5.7.1 Sending mail from country US")
    assert again == "DUNNO"
    assert locked.startswith("REJECT 5.7.1 Sending mail with this login")


def test_a_change_that_is_killed_is_done_with_its_audit_or_not_at_all(tmp_path: Path) -> None:
    """At any moment of it; one that was answered is done."""
    number = 4000

    def change(admin: Admin, name: str) -> bool:
        """Whether it was answered."""
        changes = [pb.Change(account=f"{name}-{of}".encode(), set_limit=5) for of in range(number)]
        try:
            return admin.change(*changes).done == number
        except grpc.RpcError:
            return False

    def kept(admin: Admin, name: str) -> tuple[int, int]:
        """How many limits and how many entries of the audit log there are."""
        limits = admin.calls.ListOverrides(pb.ListOverridesRequest(after=f"{name}-".encode(), most=5000))
        entries = admin.calls.Audit(pb.AuditRequest(most=5000)).entries
        of_this = f"{name}-".encode()
        return (
            sum(of.account.startswith(of_this) for of in limits.overrides),
            sum(of.account.startswith(of_this) for of in entries),
        )

    with running(tmp_path) as services:
        with admin_of(services) as admin:
            started = time.monotonic()
            assert change(admin, "whole")
            seconds = time.monotonic() - started
            assert kept(admin, "whole") == (number, number)
        for name, share in (("middle", 0.5), ("late", 0.8), ("end", 1.0)):
            with admin_of(services) as admin, ThreadPoolExecutor(1) as pool:
                answered = pool.submit(change, admin, name)
                time.sleep(seconds * share)
                services.kill("quota")
                was_answered = answered.result()
            services.start("quota")
            services.wait_connected()
            with admin_of(services) as admin:
                found = kept(admin, name)

            assert found in ({(number, number)} if was_answered else {(0, 0), (number, number)}), name


def test_a_purge_leaves_nothing_but_its_entry(policy: PolicyClient, admin: Admin) -> None:
    """The export tells what there was, and then what is left."""
    send(policy, "-'Ümlaut\" @".encode().decode("latin-1"), 2)
    account = "-'ümlaut\" @".encode()
    admin.change(pb.Change(account=account, set_limit=5))
    before = {part.table for part in admin.calls.ExportAccount(pb.ExportAccountRequest(account=account))}
    admin.change(pb.Change(account=account, purge=True, reason="Art. 17"))
    after = list(admin.calls.ExportAccount(pb.ExportAccountRequest(account=account)))

    assert before == {"account", "counter", "origin", "override", "audit"}
    assert [part.table for part in after] == ["audit"]
    assert '"what": "purge"' in after[0].rows[0]
