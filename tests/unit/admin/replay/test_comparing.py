"""Two settings and the files, brought together."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from admin.replay.comparing import compare
from admin.replay.trial import Trial
from decision.origins import Answer, Kind, Origin
from decision.record_format import RecordedRequest, write_request
from quota.store.interface import StoreError
from tests.support.charges import berlin
from tests.support.mails import mail
from tests.support.policy import AMERICAN

Patch = pytest.MonkeyPatch
CapSys = pytest.CaptureFixture[str]

NOON = berlin("2026-11-23 12:00")
DE = Origin(Kind.COUNTRY, (Answer("builtin", "DE"),))
US = Origin(Kind.COUNTRY, (Answer("builtin", "US"),))


@pytest.fixture(autouse=True)
def no_country_data_of_this_machine(monkeypatch: Patch, tmp_path: Path) -> None:
    monkeypatch.setenv("MTPOLICYD_GEOIP_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("MTPOLICYD_TIMEZONE", "Europe/Berlin")


class Run:
    """A replay of six mails, three of them from abroad."""

    def __init__(self, directory: Path, capsys: CapSys) -> None:
        self.requests = directory / "requests.jsonl"
        self.new = directory / "new.toml"
        self._capsys = capsys
        self.write()

    def write(self, key: bytes = b"") -> None:
        lines = []
        for number in range(6):
            address, origin, answer = (
                (AMERICAN, US, ("REJECT", "country")) if number % 2 else ("84.128.0.1", DE, ("DUNNO", "none"))
            )
            event = mail(client_address=address.encode(), instance=b"%d" % number)
            lines.append(write_request(RecordedRequest(NOON + number, event, origin, False, *answer), key))
        self.requests.write_bytes(b"".join(lines))

    def __call__(
        self, new: str, *, paths: list[Path] | None = None, recorded_countries: bool = False
    ) -> tuple[int, Any]:
        self.new.write_text(new)
        code = compare(
            paths or [self.requests], self.new, recorded_countries=recorded_countries, as_json=True
        )
        out = self._capsys.readouterr().out
        return code, json.loads(out) if out else None


@pytest.fixture
def run(tmp_path: Path, capsys: CapSys) -> Run:
    return Run(tmp_path, capsys)


def test_the_same_settings_differ_in_nothing(run: Run) -> None:
    """Exit code 0; the environment holds for both, and that is said."""
    code, told = run("")

    assert (code, told["changed_settings"], told["differences"]) == (0, {}, [])
    assert told["refused_before"] == told["refused_now"] == 3
    assert told["notes"] == [
        "from the environment, in both settings: MTPOLICYD_TIMEZONE, MTPOLICYD_GEOIP_DIRECTORY"
    ]


def test_other_settings_differ(run: Run) -> None:
    """Exit code 1; who, and by which rule."""
    code, told = run("threshold = 1\nallowedcountries = ['DE', 'US']\ncountry_mode = 'off'\n")

    assert code == 1
    assert told["changed_settings"] == {
        "threshold": ["1000", "1"],
        "allowedcountries": ["DE", "DE,US"],
        "country_mode": ["enforce", "off"],
    }
    (account,) = told["differences"]
    assert account["newly_refused"] == {"quota": 2}
    assert account["refused_otherwise"] == {"quota": 3}
    assert account["newly_passed"] == {}


def test_the_settings_in_force_are_those_of_the_file_and_the_environment(
    run: Run, monkeypatch: Patch, tmp_path: Path
) -> None:
    """As a start would bring them in force."""
    (tmp_path / "old.toml").write_text("threshold = 1\n")
    monkeypatch.setenv("MTPOLICYD_CONFIG", str(tmp_path / "old.toml"))
    monkeypatch.setenv("MTPOLICYD_COUNTRY_MODE", "off")
    _, told = run("")

    # What the old file said is the default again, what the environment says stays.
    assert told["changed_settings"] == {"threshold": ["1", "1000"]}
    assert told["newly_passed"] == {"quota": 5}


def test_the_environment_does_not_hide_a_line_of_the_new_file(run: Run, monkeypatch: Patch) -> None:
    """It holds for the settings in force; the note says that it would hide the line."""
    monkeypatch.setenv("MTPOLICYD_THRESHOLD", "500")
    _, told = run("threshold = 2\n")

    assert told["changed_settings"] == {"threshold": ["500", "2"]}
    assert told["notes"][0] == (
        f"MTPOLICYD_THRESHOLD is set in the environment and would hide the line of {run.new}: left aside"
    )


def test_hashed_addresses_have_their_limits(run: Run) -> None:
    """Their countries are the recorded ones, and a network cannot be told."""
    run.write(key=b"k" * 16)
    code, told = run("exempt_networks = '8.8.8.0/24'\n")

    assert (code, told["differences"], told["hashed_requests"], told["unlike_recorded"]) == (0, [], 6, 0)
    assert told["notes"][1:] == [
        "6 requests have hashed addresses: their countries are as recorded",
        "exempt_networks could not be applied to hashed addresses",
    ]


def test_lines_that_cannot_be_read_are_noted(run: Run, tmp_path: Path) -> None:
    """And files without a request."""
    run.requests.write_bytes(b"{nonsense\n" + run.requests.read_bytes())
    (tmp_path / "empty").touch()
    _, told = run("", paths=[run.requests, tmp_path / "empty"])

    assert told["requests"] == 6
    assert any(
        note.startswith(f"1 lines cannot be read, and were passed over; the first: {run.requests}:1: no JSON")
        for note in told["notes"]
    )
    assert f"{tmp_path / 'empty'} holds no mail of a user" in told["notes"]


def test_answers_of_other_settings_are_noted(run: Run, monkeypatch: Patch) -> None:
    """The recording does not fit what is in force."""
    monkeypatch.setenv("MTPOLICYD_COUNTRY_MODE", "off")
    _, told = run("")

    assert told["unlike_recorded"] == 3
    assert told["notes"][-1].startswith("3 requests were answered otherwise than by the settings in force")


def test_a_mail_log_has_its_note(run: Run) -> None:
    """The messages are decided by the country data of now."""
    path = Path(__file__).with_name("mail.log")
    os.utime(path)
    code, told = run("threshold = 2\n", paths=[path])

    assert code == 1
    assert [account["login"] for account in told["differences"]] == ["alice@example.org"]
    assert any(note.startswith("a mail log shows only what Postfix has accepted") for note in told["notes"])


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ("threshold = 0\n", "new.toml:1: threshold = 0 is not allowed"),
        ("treshold = 5\n", "did you mean threshold?"),
        ("threshold = \n", "is no TOML"),
    ],
)
def test_wrong_settings_end_it(run: Run, capsys: CapSys, new: str, reason: str) -> None:
    """As check-config says it, with exit code 2."""
    with pytest.raises(SystemExit) as caught:
        run(new)

    assert caught.value.code == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"", b"nonsense\n", b"{}\n"])
def test_a_wrong_file_ends_it(run: Run, capsys: CapSys, content: bytes | None) -> None:
    """With one line and exit code 2."""
    run.requests.unlink()
    if content is not None:
        run.requests.write_bytes(content)
    run.new.touch()
    code = compare([run.requests], run.new, recorded_countries=False, as_json=True)
    ended = capsys.readouterr()

    assert (code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("mtpolicyctl replay: ")
    assert str(run.requests) in ended.err


def test_no_room_to_count_ends_it(run: Run, capsys: CapSys, monkeypatch: Patch) -> None:
    """With one line and exit code 3."""

    def full(*_: object) -> None:
        raise StoreError("database or disk is full")

    monkeypatch.setattr(Trial, "answer", full)
    run.new.touch()
    code = compare([run.requests], run.new, recorded_countries=False, as_json=True)

    assert code == 3
    assert capsys.readouterr().err == (
        "mtpolicyctl replay: counting needs room in the temporary directory: database or disk is full\n"
    )
