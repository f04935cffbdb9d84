"""`mtpolicyctl` on real services: what is asked, what is changed, and what the next mail hears."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.printable import as_text
from decision.account import account_of
from tests.support.ctl import MTPOLICYCTL, Ctl
from tests.support.policy import AMERICAN, GERMAN, PolicyClient
from tests.support.ports import free_port
from tests.support.services import Services, running, wait_until

LIMIT = 10  # the fixture's threshold
# 320 bytes, with everything that a shell, CSV, JSON or a terminal could trip over.
NASTY = "-x \"q' ;,\\ $(id) `x` =1+1 [red] \u00fc\u00df\u4e2d\U0001f600 ".ljust(300, "y") + "@example.org"


@pytest.fixture
def ctl(services: Services) -> Ctl:
    return Ctl(services, SUDO_USER="anton")


def over(policy: PolicyClient, user: str) -> str:
    """The reply that the limit is reached."""
    for _ in range(LIMIT):
        assert policy.ask(sasl_username=user) == "DUNNO"
    reply = policy.ask(sasl_username=user)
    assert reply.startswith("DEFER 4.7.1 Daily limit of 10 recipients"), reply
    return reply


def test_a_refusal_leads_to_a_limit_and_the_next_mail_passes(ctl: Ctl, policy: PolicyClient) -> None:
    """Explained by the user's error; in force at once; listed, audited, and taken back."""
    reply = over(policy, "limited")
    found = ctl.json("explain", f"450 4.7.1 <x>: {reply}")
    assert (found["account"], found["rule"], found["used"], found["limit"]) == ("limited", "quota", 10, 10)
    assert (found["address"], found["country"], found["recipient"]) == (GERMAN, "DE", "bob@example.net")

    assert "limit 12 until " in ctl.said(
        "limit", "set", "Limited", "12", "--until", "tonight", "--reason", "why"
    )
    assert [policy.ask(sasl_username="limited") for _ in range(2)] == ["DUNNO"] * 2
    assert policy.ask(sasl_username="limited").startswith("DEFER 4.7.1 Daily limit of 12 recipients")

    usage = ctl.json("usage", "limited")
    assert usage["limit"] == 12
    (today,) = [day for day in usage["days"] if day["name"] == "quota"]
    assert (today["used"], today["refused"], today["unit"]) == (12, 2, "recipients")
    assert {(one["country"], one["rule"]) for one in usage["origins"]} == {("DE", None), ("DE", "quota")}
    assert [one["value"] for one in ctl.json_of("limit", "list") if one["account"] == "limited"] == [12]

    assert ctl.said("limit", "clear", "limited", "--reason", "enough").startswith(
        "limited: the threshold holds again"
    )
    assert policy.ask(sasl_username="limited").startswith("DEFER 4.7.1 Daily limit of 10 recipients")
    assert ctl.run("limit", "clear", "limited").returncode == 1
    entries = ctl.json("audit", "--user", "limited")
    assert [(one["what"], one["value"], one["reason"]) for one in entries if one["reason"]] == [
        ("limit-clear", None, "enough"),
        ("limit", "12", "why"),
    ]
    assert {one["who"] for one in entries} == {f"anton@{socket.gethostname()}"}


def test_a_traveller_sends_and_is_stopped_at_home_again(ctl: Ctl, policy: PolicyClient) -> None:
    """From the countries that are set, and no others; nothing is recorded of what is permitted."""
    abroad = {"sasl_username": "traveller", "client_address": AMERICAN}
    reply = policy.ask(**abroad)
    assert reply.startswith("REJECT 5.7.1 Sending mail from country US")
    wait_until(lambda: ctl.run("explain", reply).returncode == 0, what="the refusal is recorded")
    said = ctl.said("explain", reply)
    assert "country    US (United States)" in said
    assert "mtpolicyctl country allow --until tonight traveller US" in said

    ctl.said("country", "allow", "traveller", "FR")
    assert policy.ask(**abroad).startswith("REJECT ")
    ctl.said("country", "allow", "traveller", "France, US", "--until", "+3d")
    assert policy.ask(**abroad) == "DUNNO"
    (one,) = [one for one in ctl.json_of("country", "list") if one["account"] == "traveller"]
    assert (one["value"], one["until"] is None) == (["FR", "US"], False)
    ctl.said("country", "clear", "traveller")
    assert policy.ask(**abroad).startswith("REJECT ")


def test_a_lock_refuses_everything_until_it_is_taken_away(ctl: Ctl, policy: PolicyClient) -> None:
    """Repeats included; the reply has an id that explains it."""
    repeated = {"sasl_username": "stolen", "instance": "1f2a.lock.0.0"}
    assert policy.ask(**repeated) == "DUNNO"
    ctl.said("lock", "stolen", "--reason", "ticket 1")
    reply = policy.ask(**repeated)
    assert reply.split()[0] in ("REJECT", "DEFER")
    assert "10 of" not in reply
    found = ctl.json("explain", reply)
    assert (found["account"], found["rule"]) == ("stolen", "lock")
    assert [one["rule"] for one in ctl.json("blocked")["accounts"] if one["account"] == "stolen"] == ["lock"]
    assert "set by anton@" in ctl.said("usage", "stolen")

    ctl.said("unlock", "stolen")
    assert policy.ask(**repeated) == "DUNNO"
    assert ctl.run("unlock", "stolen").stdout == "stolen: was not locked\n"


def test_a_reset_gives_the_day_back(ctl: Ctl, policy: PolicyClient) -> None:
    """All of it."""
    over(policy, "again")
    assert ctl.said("reset", "again", "--reason", "ticket 2").startswith("again: today's counts are 0")
    over(policy, "again")


def test_the_biggest_sender_stands_first(ctl: Ctl, policy: PolicyClient) -> None:
    """Most used, then the others."""
    over(policy, "big")
    found = ctl.json("top", "--most", "1000")
    used = [one["used"] for one in found["accounts"]]

    assert used == sorted(used, reverse=True)
    (big,) = [one for one in found["accounts"] if one["account"] == "big"]
    assert (big["used"], big["refused"], big["limit"], big["name"]) == (10, 1, 10, "quota")
    assert found["total_used"] >= sum(used[:2])
    assert "recipients" not in ctl.said("top", "--most", "1")


@pytest.mark.parametrize(
    "typed",
    [NASTY, os.fsdecode(b"caf\xe9 \xff@example.org"), "base64:Y2Fm6SD/QGV4YW1wbGUub3Jn"],
    ids=["320 bytes", "latin-1", "base64"],
)
def test_any_login_can_be_named(ctl: Ctl, services: Services, typed: str) -> None:
    """On the command line, in CSV, in JSON; what is shown can be typed again."""
    ctl.said("limit", "set", "--reason", "nasty", "--", typed, "4711")
    (listed,) = [one for one in ctl.json_of("limit", "list") if one["value"] == 4711]
    assert listed["account"].isprintable()
    assert [one["value"] for one in ctl.json("usage", "--", listed["account"])["overrides"]] == [4711]

    lines = ctl.said("export")
    assert ctl.said("limit", "clear", "--", listed["account"])
    ctl.said("import", stdin=lines)
    assert ctl.said("export", "--json").count("4711") == 1
    ctl.said("import", stdin=ctl.said("export", "--json"))
    assert [one["value"] for one in ctl.json("usage", "--", typed)["overrides"]] == [4711]
    (entry, *_) = ctl.json("audit", f"--user={typed}")
    assert entry["account"] == listed["account"]
    ctl.said("limit", "clear", "--", typed)


def test_a_login_is_whole_in_the_log_and_in_the_metrics(services: Services, policy: PolicyClient) -> None:
    """The dashboards show the form that a command takes."""
    over(policy, NASTY.encode().decode("latin-1"))
    shown = as_text(account_of(NASTY.encode()))
    wait_until(
        lambda: services.metric("quota", "mtpolicyd_blocked_sender_used", account=shown) == LIMIT,
        what="the account is listed",
    )
    (line,) = [line for line in services.log("decision").splitlines() if "yyyyyyyyyy" in line]

    assert f'{NASTY[-60:]}" sender=' in line


def test_a_file_is_imported_as_a_whole_or_not_at_all(ctl: Ctl, policy: PolicyClient) -> None:
    """A nightly job: what the file no longer has is cleared, locks stay."""
    header = "account,what,value,until,reason\n"
    ctl.said("lock", "import-locked", "--reason", "stays")
    ctl.said("import", stdin=f"{header}import-a,limit,2,,x\nimport-b,country,US,tonight,\n")
    assert [policy.ask(sasl_username="import-a")[:5] for _ in range(3)] == ["DUNNO", "DUNNO", "DEFER"]
    assert policy.ask(sasl_username="import-b", client_address=AMERICAN) == "DUNNO"

    line = ctl.fails(2, "import", stdin=f"{header}import-a,limit,5,,\nimport-c,limit,-1,,\n")
    assert line == "line 3: '-1' is no limit; allowed: a whole number, 1 to 1000000000"
    assert policy.ask(sasl_username="import-a").startswith("DEFER ")

    planned = ctl.said("import", "--replace", "--dry-run", stdin=f"{header}import-a,limit,5,,\n")
    assert "changed: 1 limit" in planned
    ctl.said("import", "--replace", stdin=f"{header}import-a,limit,5,,\n")
    assert policy.ask(sasl_username="import-a") == "DUNNO"
    assert policy.ask(sasl_username="import-b", client_address=AMERICAN).startswith("REJECT ")
    assert not policy.ask(sasl_username="import-locked").startswith("DUNNO")
    left = {(one["account"], one["what"]) for one in json.loads(ctl.said("export", "--json"))}
    assert {one for one in left if one[0].startswith("import")} == {
        ("import-a", "limit"),
        ("import-locked", "lock"),
    }


def test_all_of_an_account_is_exported_and_purged(ctl: Ctl, policy: PolicyClient) -> None:
    """Counts, refusals, overrides; only the audit log knows that it was there."""
    reply = over(policy, "forget@example.org")
    policy.ask(sasl_username="forget@example.org", client_address=AMERICAN)
    ctl.said("limit", "set", "forget@example.org", "11")
    exported = json.loads(ctl.said("export", "Forget@example.org"))
    assert exported["account"] == "forget@example.org"
    assert sum(map(len, exported["tables"].values())) >= 3
    assert GERMAN in json.dumps(exported)

    assert ctl.fails(2, "purge", "forget@example.org") == "purge deletes for good: add --yes"
    said = ctl.said("purge", "forget@example.org", "--yes", "--reason", "request 3")
    assert "all that was kept is deleted" in said
    assert "Not quota's, and not deleted: logs, Prometheus, " in said
    assert ctl.run("usage", "forget@example.org").returncode == 1
    assert ctl.run("explain", reply).returncode == 1
    (entry,) = [one for one in ctl.json("audit", "--user", "forget@example.org") if one["what"] == "purge"]
    assert entry["reason"] == "request 3"
    over(policy, "forget@example.org")


def test_what_was_purged_is_in_no_file(services: Services, ctl: Ctl, policy: PolicyClient) -> None:
    """Nor what of it was deleted; the entry of the audit log, and its index, have the name."""

    def traces() -> int:
        state = Path(services.environment["MTPOLICYD_STATEDIR"])
        return sum(file.read_bytes().count(b"trace@example.org") for file in state.iterdir())

    policy.ask(sasl_username="trace@example.org", sender="trace@example.org", client_address=AMERICAN)
    ctl.said("limit", "set", "trace@example.org", "11", "--reason", "for trace@example.org")
    ctl.said("purge", "trace@example.org", "--yes")
    wait_until(lambda: traces() == 2, what="the files have forgotten it")


def test_all_is_well(services: Services, ctl: Ctl) -> None:
    """Versions, settings, store, country data."""
    found = ctl.json("status")
    assert (found["well"], found["problems"]) == (True, [])
    frontend, decision, quota = found["services"]
    assert (frontend["service"], decision["service"], quota["service"]) == ("frontend", "decision", "quota")
    assert decision["settings"]["threshold"] == str(LIMIT)
    assert decision["details"]["databases"][0]["source"] == "built-in"
    assert quota["details"]["store"].startswith(services.environment["MTPOLICYD_STATEDIR"])
    assert quota["details"]["store_up"]
    assert {one["version"] for one in found["services"]} == {frontend["version"]}
    assert ctl.said("status").splitlines()[-1] == "all is well"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Services]:
    """Services that a test may break."""
    with running(tmp_path) as services:
        yield services


def test_what_is_not_well_is_told(own: Services) -> None:
    """Quota is away: mail passes unchecked, and each command says where it has looked."""
    ctl = Ctl(own)
    own.kill("quota")
    with PolicyClient(own.port) as client:
        assert client.ask(sasl_username="alice") == "DUNNO"
        wait_until(
            lambda: (
                client.ask(sasl_username="alice")
                and own.metric("frontend", "mtpolicyd_failure_action_in_force")
            ),
            what="the failure action is in force",
        )
    target = own.environment["MTPOLICYD_QUOTA_TARGET"]
    ended = ctl.run("status")
    assert ended.returncode == 3
    assert f"not well: no answer from quota at {target}: Connection refused" in ended.stdout
    assert "the failure action is in force: mail is not checked" in ended.stdout
    assert "no stream to quota" in ended.stdout
    error = json.loads(ctl.fails(3, "blocked", "--json"))
    assert (error["exit_code"], target in error["error"]) == (3, True)
    for words in (
        ["blocked"],
        ["top"],
        ["usage", "a"],
        ["explain", "kbtd6g2g79"],
        ["audit"],
        ["limit", "list"],
    ):
        assert ctl.fails(3, *words).startswith(f"no answer from quota at {target}: ")
    for words in (
        ["limit", "set", "a", "1"],
        ["lock", "a", "--reason", "x"],
        ["import", "--replace"],
        ["export"],
    ):
        stdin = "account,what,value\n"
        assert ctl.fails(3, *words, stdin=stdin).startswith(f"no answer from quota at {target}: ")


def test_without_the_right_token_nothing_changes(own: Services, tmp_path: Path) -> None:
    """Wrong, missing, unreadable: exit code 2; asking needs none; the audit log has the attempt."""
    ctl = Ctl(own)
    assert (Path(own.environment["MTPOLICYD_STATEDIR"]) / "admin.token").stat().st_mode & 0o007 == 0
    other = tmp_path / "other.token"
    wrong = Ctl(own, MTPOLICYD_ADMIN_TOKEN_FILE=str(other))
    change = ("limit", "set", "alice", "5")
    assert wrong.fails(2, *change).startswith(f"{other} cannot be read: No such file")
    other.write_text("wrong")
    assert "token" in wrong.fails(2, *change)
    assert wrong.json_of("limit", "list") == []
    assert [one["what"] for one in wrong.json("audit")] == ["token-refused"]
    ctl.said(*change)
    assert [one["value"] for one in ctl.json_of("limit", "list")] == [5]


def test_the_token_may_be_the_admins_own(tmp_path: Path) -> None:
    """Read anew each time, so that it may be changed; the one in the state directory is of no use then."""
    token = tmp_path / "own.token"
    token.write_text("a long token that an admin has made\n")
    with running(tmp_path, ADMIN_TOKEN_FILE=str(token)) as services:
        ctl = Ctl(services)
        ctl.said("limit", "set", "alice", "5")
        token.write_text("another long token that he made later\n")
        ctl.said("limit", "set", "alice", "6")
        made = Path(services.environment["MTPOLICYD_STATEDIR"]) / "admin.token"
        wrong = Ctl(services, MTPOLICYD_ADMIN_TOKEN_FILE=str(made))
        assert "token" in wrong.fails(2, "limit", "set", "alice", "7")
        assert [one["value"] for one in ctl.json_of("limit", "list")] == [6]


@pytest.mark.parametrize("words", ["top", "audit --json", "export", "limit list", "status", "usage nobody"])
def test_a_reader_that_goes_ends_a_command_without_a_word(ctl: Ctl, words: str) -> None:
    """A script knows such an end of any program."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [MTPOLICYCTL, *words.split()],
            env=ctl.environment,
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    finally:
        os.close(writer)

    assert (ended.returncode, ended.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.parametrize("words", ["top", "export", "audit --json", "lock full-disk --reason r"])
def test_a_full_disk_under_the_output_is_told(ctl: Ctl, words: str) -> None:
    """In one line; what was changed is changed."""
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [MTPOLICYCTL, *words.split()],
            env=ctl.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
        )

    line = b"the output cannot be written: No space left on device\n"
    assert (ended.returncode, ended.stderr) == (os.EX_IOERR, line)
    if words.startswith("lock"):
        ctl.said("unlock", "full-disk")


def test_a_control_character_of_a_login_reaches_no_terminal(ctl: Ctl, policy: PolicyClient) -> None:
    """Nor does one of a recipient; on a terminal of 40 columns nothing is cut off."""
    evil = "evil\x1b[2J[bold]"
    over(policy, evil)
    for words in (["top", "--most", "1000"], ["blocked", "--most", "1000"]):
        assert all(line.isprintable() for line in ctl.said(*words).splitlines())
    environment = ctl.environment | {"COLUMNS": "40", "TERM": "xterm"}
    seen = subprocess.run(
        ["script", "-qec", f"{MTPOLICYCTL} blocked --most 1000", "/dev/null"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    plain = re.sub(r"\x1b\[[0-9;]*m", "", seen.replace("\r", ""))
    assert "\x1b" not in plain
    assert as_text(account_of(evil.encode())) in plain.replace("\n", "").replace(" ", "")


def test_a_login_with_control_characters_is_locked_and_purged(ctl: Ctl, policy: PolicyClient) -> None:
    """By the name that every command shows; typed or imported as it is, it is taken for a mistake."""
    evil = "control\x01\x7f"
    over(policy, evil)
    shown = as_text(account_of(evil.encode()))
    assert ctl.json("usage", shown)["account"] == shown
    for line in (
        ctl.fails(2, "lock", evil, "--reason", "r"),
        ctl.fails(2, "import", stdin=f"account,what,value\n{evil},lock,\n"),
    ):
        assert "control characters" in line

    ctl.said("lock", shown, "--reason", "stolen")
    assert "login" in policy.ask(sasl_username=evil)
    ctl.said("import", stdin=ctl.said("export"))
    ctl.said("unlock", shown)
    ctl.said("purge", shown, "--yes")
    assert [one["what"] for one in ctl.json("audit", "--user", shown)] == ["purge"]
    assert ctl.run("usage", shown).returncode == 1


# Installs the completion as a person does, reads it as the next shell does, and completes the words given.
COMPLETE = """
mtpolicyctl --install-completion >/dev/null && . ~/.bashrc
for line in "$@"; do
    read -ra COMP_WORDS <<<"$line"
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
    "$(complete -p mtpolicyctl | sed 's/.*-F \\([^ ]*\\).*/\\1/')" mtpolicyctl
    echo "${COMPREPLY[*]}"
done
"""


def test_the_shell_completes_commands(services: Services, tmp_path: Path) -> None:
    """Commands, those of a group, options; after `mtpolicyctl --install-completion`."""
    lines = ["mtpolicyctl un", "mtpolicyctl limit s", "mtpolicyctl lock anna --u"]
    ended = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", *lines],
        env=services.environment
        | {"HOME": str(tmp_path), "PATH": f"{MTPOLICYCTL.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.stdout.splitlines(), ended.stderr) == (["unlock", "set", "--until"], "")


def test_a_file_is_written_in_utf_8_whatever_the_locale_is(ctl: Ctl, services: Services) -> None:
    """A nightly job often has none; `import` reads what it has written."""
    ctl.said("limit", "set", "ann\u00e4@example.org", "77", "--reason", "\u4e2d")
    elsewhere = Ctl(services, PYTHONIOENCODING="latin-1")
    (line,) = [one for one in elsewhere.said("export").splitlines() if ",77," in one]

    assert line.startswith("ann\u00e4@example.org,limit,77,,\u4e2d,")
    assert json.loads(elsewhere.said("export", "ann\u00e4@example.org"))["tables"]["override"]
    ctl.said("limit", "clear", "ann\u00e4@example.org")


def test_wrong_settings_end_every_command(services: Services) -> None:
    """As they end the services."""
    ended = Ctl(services, MTPOLICYD_QUOTA_TARGET="nowhere").run("blocked")
    assert (ended.returncode, ended.stdout) == (2, "")
    nobody = Ctl(services, MTPOLICYD_QUOTA_TARGET=f"127.0.0.1:{free_port()}")
    assert nobody.run("blocked").returncode == 3
