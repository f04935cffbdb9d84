"""The doctor's proof, and what it calls unknown, with a real Postfix."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from admin.doctor.endpoint import OurService
from admin.doctor.examination import examine
from admin.doctor.postconf import Postconf
from admin.doctor.verdict import Answer
from chassis.sockets import Listeners
from tests.doctor.recorder import Recorder
from tests.e2e.conftest import LIMIT
from tests.e2e.milter import Milter
from tests.e2e.postfix import PASSWORD, Postfix, policy_check, settle, smtpd
from tests.support.ctl import Ctl
from tests.support.programs import require_root
from tests.support.services import Services, wait_until
from tests.unit.admin.doctor.pairs import CHECK, PERMITS, write

FOREIGN, ADDED = "bob@example.net", "carol@example.net"
USER = "alice@example.org"


class Filtering(Postfix):
    """With a content filter: it hands mail to a port that adds a recipient, and nobody asks there."""

    def __init__(self, check: str, milter: str) -> None:
        first = {"08-mtpolicyd": check}
        self.milter = milter
        filtered = dict(smtpd(first, auth=True))
        super().__init__(
            {
                "plain": smtpd(first, auth=True),
                "milter": {**smtpd(first, auth=True), "smtpd_milters": milter},
                "filter": filtered,
                "back": {
                    "smtpd_recipient_restrictions": "permit_mynetworks, reject",
                    "cleanup_service_name": "copying",
                },
            }
        )
        filtered["content_filter"] = f"onward:[127.0.0.1]:{self.ports['back']}"

    def _write_configuration(self) -> None:
        super()._write_configuration()
        config = self.directory / "config"
        with (config / "master.cf").open("a") as file:
            file.write("onward unix - - n - - smtp\n")
            file.write(f"copying unix n - n - 0 cleanup -o always_bcc={ADDED}\n")


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    with Recorder() as recorder:
        yield recorder


@pytest.fixture(scope="module")
def seen() -> list[tuple[bytes, int]]:
    """The milter's commands, each with the number of questions that the policy port had heard then."""
    return []


@pytest.fixture(scope="module")
def filtering(recorder: Recorder, seen: list[tuple[bytes, int]]) -> Iterator[Filtering]:
    with ExitStack() as stack:
        milter = Milter(ADDED, lambda command: seen.append((command, len(recorder.requests))))
        stack.enter_context(milter)
        postfix = Filtering(policy_check(recorder.port), f"inet:127.0.0.1:{milter.port}")
        stack.enter_context(postfix)
        postfix.add_login(USER)
        yield postfix


def said(
    postfix: Filtering, recorder: Recorder, accepted: frozenset[str] = frozenset()
) -> dict[str, set[Answer]]:
    """What the doctor says of mail with a login, by the name of the smtpd."""
    ours = OurService(Listeners(("127.0.0.1",), recorder.port))
    examination = examine(Postconf(postfix.directory / "config"), ours, accepted)
    names = {port: name for name, port in postfix.ports.items()}
    return {
        names[one.entrance.port]: {verdict.answer for verdict in one.logins} for one in examination.entrances
    }


def to_whom(postfix: Postfix) -> set[str]:
    """All recipients to whom mail was delivered."""
    return set(re.findall(r"discard\[\d+\]: \w+: to=<(.*?)>", postfix.log()))


def test_what_a_milter_and_a_filter_add_is_unknown_and_nobody_is_asked_about_it(
    filtering: Filtering, recorder: Recorder, seen: list[tuple[bytes, int]]
) -> None:
    """The policy port hears of the recipient that the user named, before they do; never of the other."""
    answers = said(filtering, recorder)
    assert [answers[name] for name in ("plain", "milter", "filter")] == [
        {Answer.COVERED},
        {Answer.UNKNOWN},
        {Answer.UNKNOWN},
    ]

    for name in ("milter", "filter"):
        recorder.clear()
        recipient = f"{name}@example.net"
        replies = filtering.send(name, recipient, login=USER)
        assert replies.accepted
        wait_until(
            lambda recipient=recipient: {recipient, ADDED} <= to_whom(filtering),
            what="the mail is delivered",
        )

        assert [request["recipient"] for request in recorder.requests] == [recipient]
        assert recorder.asked(USER)
    assert [asked for command, asked in seen if command == b"R"] == [1]


def test_what_is_accepted_is_covered(filtering: Filtering, recorder: Recorder) -> None:
    """By the names that main.cf and master.cf have."""
    back = f"onward:[127.0.0.1]:{filtering.ports['back']}"
    one = said(filtering, recorder, frozenset({back}))
    both = said(filtering, recorder, frozenset({back, filtering.milter}))

    assert (one["filter"], one["milter"]) == ({Answer.COVERED}, {Answer.UNKNOWN})
    assert (both["filter"], both["milter"]) == ({Answer.COVERED}, {Answer.COVERED})


class Live:
    """`mtpolicyctl doctor --live` with a login, at one smtpd of a running Postfix."""

    def __init__(self, postfix: Postfix, services: Services, directory: Path) -> None:
        self.postfix = postfix
        self.ctl = Ctl(services)
        self._password = directory / "password"
        self._password.write_text(PASSWORD + "\n")
        self._config = directory / "config"
        self._config.mkdir()

    def doctor(self, name: str, login: str, password: Path | None = None) -> tuple[int, dict[str, Any]]:
        """Exit code and output; the settings that are read are those of this one smtpd."""
        port = self.postfix.ports[name]
        config = self.postfix.directory / "config"
        (self._config / "main.cf").write_text((config / "main.cf").read_text())
        lines = (config / "master.cf").read_text().splitlines(keepends=True)
        (self._config / "master.cf").write_text(
            "".join(line for line in lines if " smtpd" not in line or line.startswith(f"127.0.0.1:{port} "))
        )
        settle(self._config)
        ended = self.ctl.run(
            *("doctor", "--live", "--json", "--config-dir", str(self._config), "--login", login),
            *("--password-file", str(password or self._password)),
            *("--smtp", f"127.0.0.1:{port}", "--recipient", FOREIGN),
        )
        assert ended.stderr == ""
        return ended.returncode, json.loads(ended.stdout)


@pytest.fixture
def live(postfix: Postfix, services: Services, tmp_path: Path) -> Live:
    return Live(postfix, services, tmp_path)


def ids(output: dict[str, Any]) -> set[str]:
    return {finding["id"] for finding in output["findings"] if finding["id"].startswith("live_")}


def test_a_dialogue_up_to_rcpt_proves_that_the_service_is_asked(live: Live, login: str) -> None:
    """One recipient is counted, no mail is sent, and the exit code is 0."""
    sessions = live.postfix.log().count("disconnect from ")
    code, output = live.doctor("submission-08-mtpolicyd", login)

    assert (code, output["verdict"]) == (0, "covered")
    assert ids(output) == {"live_answer", "live_counted"}
    (today,) = [day for day in live.ctl.json("usage", login)["days"] if day["name"] == "quota"]
    assert today["used"] == 1
    wait_until(lambda: live.postfix.log().count("disconnect from ") > sessions, what="the session ends")
    last = live.postfix.log().rpartition("disconnect from ")[2]
    assert " auth=1 mail=1 rcpt=1 rset=1 quit=1 " in last
    assert "data=" not in last


def test_a_dialogue_shows_what_slot_79_does_not_see(live: Live, login: str) -> None:
    """The recipient is accepted, and nothing is counted."""
    code, output = live.doctor("submission-79", login)

    assert (code, output["verdict"]) == (1, "not_covered")
    assert ids(output) == {"live_answer", "live_not_counted"}


def test_a_refusal_of_the_service_is_a_proof_too(live: Live, login: str) -> None:
    """Of a login that has used up its limit."""
    live.postfix.send(
        "submission-08-mtpolicyd", *[f"bob{one}@example.net" for one in range(LIMIT)], login=login
    )
    code, output = live.doctor("submission-08-mtpolicyd", login)

    assert code == 0
    assert ids(output) == {"live_answer", "live_refused_by_us"}


def test_a_login_that_fails_proves_nothing(live: Live, login: str, tmp_path: Path) -> None:
    """What was read is in doubt then."""
    wrong = tmp_path / "wrong"
    wrong.write_text("other\n")
    code, output = live.doctor("submission-08-mtpolicyd", login, wrong)

    assert (code, output["verdict"]) == (1, "unknown")
    assert ids(output) == {"live_answer", "live_smtp_failed"}


# What is imported is read as root: a checkout may lie where others may not look.
AS_NOBODY = """
import os, sys
from pathlib import Path
from admin.doctor.consultation import Request, consult
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
directory = Path(sys.argv[1])
sys.exit(consult(Request(
    directory, None, False, "", None, "", "", "", True, "en", directory, frozenset()
)))
"""


def test_without_root_it_does_what_it_can_and_changes_nothing() -> None:
    """A table and a layer of UCR that only root may read are told; a check before the table needs neither."""
    require_root()
    with tempfile.TemporaryDirectory(prefix="mtpolicyd-doctor-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        for file, text in (("recipients", "a OK\n"), ("base.conf", "# UCR\n"), ("base-ldap.conf", "# UCR\n")):
            (directory / file).write_text(text)
        for file in ("recipients", "base-ldap.conf"):
            (directory / file).chmod(0o600)
        table = f"check_recipient_access texthash:{directory}/recipients"
        for restrictions, verdict, told in (
            (f"{table}, {CHECK}, {PERMITS}", "unknown", {"unknown_table_unread", "ucr_unread"}),
            (f"{CHECK}, {table}, {PERMITS}", "covered", {"ucr_unread"}),
        ):
            write(directory, restrictions)
            before = snapshot(directory)
            ended = subprocess.run(
                [sys.executable, "-c", AS_NOBODY, name], capture_output=True, text=True, timeout=60
            )
            assert ended.stderr == ""
            output = json.loads(ended.stdout)
            assert (output["verdict"], ended.returncode) == (verdict, 0 if verdict == "covered" else 1)
            unread = [one for one in output["findings"] if one["id"].endswith("unread")]
            assert {one["id"] for one in unread} == told
            assert all("Permission denied" in one["message"] for one in unread)
            assert snapshot(directory) == before


def snapshot(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Each file with its time and its bytes."""
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in directory.iterdir()}
