"""The doctor's word on each pair of the corpus: what was written by hand, and what a real Postfix does."""

import io
import re
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from admin.doctor import ucr
from admin.doctor.clients import KINDS
from admin.doctor.endpoint import OurService
from admin.doctor.entrances import Way
from admin.doctor.examination import Examination, examine
from admin.doctor.findings import Severity, at_entrances
from admin.doctor.host_findings import of_host
from admin.doctor.mends import Bench
from admin.doctor.output import PIPE_COLUMNS, Report, show
from admin.doctor.postconf import Postconf
from admin.doctor.verdict import Answer, Verdict
from admin.doctor.wording import Language
from chassis.sockets import Listeners
from tests.doctor.corpus import CASES, Case, require_tables
from tests.doctor.recorder import Recorder
from tests.doctor.running import Ground
from tests.support.programs import require_program

COMPILED = re.compile(r"\b(hash|btree|cdb|lmdb):\{etc\}/([\w.]+)")
LANGUAGES: tuple[Language, ...] = ("en", "de")
OURS = OurService(Listeners(("127.0.0.1",), 12345))
LETTERS = {Answer.COVERED: "c", Answer.NOT_COVERED: "n", Answer.UNKNOWN: "u", Answer.NONE: "-"}
# What a real Postfix may do where the doctor says so: it must never miss what was called covered.
AGREES = {"c": {"c"}, "n": {"n"}, "p": {"n", "p"}, "-": {"-"}, "u": {"c", "n", "p", "-"}}

# One of each sort; `make test-doctor` runs all.
SAMPLE = {
    "ucs52-slot79-dovecot",
    "ucs52-slot08-listfilter",
    "ucs52-submission-list",
    "mailcow-check-first",
    "client-at-once",
    "data",
    "recipient-table-permits",
    "warn-if-reject",
}

each_case = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
each_run = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=() if case.name in SAMPLE else pytest.mark.full)
        for case in CASES
    ],
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    require_program("postconf", packages="postfix")
    require_tables("cdb", "lmdb", "pcre")
    return tmp_path


def written(case: Case, directory: Path) -> Examination:
    """The pair, compiled and examined."""
    case.write(directory)
    for kind, name in COMPILED.findall(case.main):
        if name in case.tables:
            subprocess.run(["postmap", f"{kind}:{directory / name}"], check=True)
    return examine(Postconf(directory), OURS, case.accepted)


def letter(verdict: Verdict | None) -> str:
    if verdict is None:
        return "-"
    return "p" if verdict.partly else LETTERS[verdict.answer]


def letters(examination: Examination) -> dict[str, str]:
    """What the doctor says, in the letters of the corpus."""
    found = {}
    for examined in examination.entrances:
        said = "".join(letter(examined.verdicts.get(kind)) for kind in KINDS)
        found[examined.entrance.listener.name] = f"{said[:3]} {said[3:]}"
    return found


def test_the_corpus_is_large() -> None:
    """There are pairs of each kind of host, and of each verdict."""
    assert len(CASES) >= 40
    assert {case.verdict for case in CASES} == {str(answer) for answer in Answer}
    assert {"ucs50", "ucs52", "mailcow", "iredmail", "docker", "debian"} <= {
        case.name.partition("-")[0] for case in CASES
    }


@each_case
def test_the_doctor_says_what_is_expected(case: Case, directory: Path) -> None:
    """The verdict at each entrance, on the whole, and the findings, all that are errors among them; both
    languages can tell it."""
    examination = written(case, directory)
    bench = Bench(examination, OURS, ucr.read(directory))
    found = [*at_entrances(bench), *of_host(bench)]
    for language in LANGUAGES:
        report = Report(examination, OURS, found, examination.answer, language)
        show(report, Console(file=io.StringIO(), width=PIPE_COLUMNS))
    serious = {one.id for one in found if one.severity in (Severity.ERROR, Severity.UNKNOWN)}

    assert letters(examination) == case.expected
    assert str(examination.answer) == case.verdict
    assert serious <= set(case.findings) <= {one.id for one in found}


@each_run
def test_postfix_does_what_the_doctor_says(
    case: Case, directory: Path, ground: Ground, recorder: Recorder, stranger: Recorder
) -> None:
    """Mail of each kind, at each entrance: whether the policy port sees it, and its refusal stops it."""
    examination = written(case, directory)
    run = ground.run(case, directory, recorder, stranger)
    differing = {}
    for examined in examination.entrances:
        if examined.entrance.way is not Way.SMTPD:
            continue
        for kind in KINDS:
            if kind.origin == "network" and not case.network:
                continue
            if "permit_inet_interfaces" in case.main and kind.origin != "host":
                continue  # it looks at the socket, which XCLIENT does not change
            said = letter(examined.verdicts.get(kind))
            done = run.observed(examined.entrance, kind)
            if examined.entrance.here_only and kind.origin != "host":
                continue
            if done not in AGREES[said]:
                differing[examined.entrance.name, kind.name] = (said, done)

    assert differing == {}


def test_sendmail_asks_nobody(
    ground: Ground, recorder: Recorder, stranger: Recorder, directory: Path
) -> None:
    """Mail that a program hands to sendmail is accepted, and the policy port sees nothing."""
    case = next(case for case in CASES if case.name == "ucs52-slot08")
    written(case, directory)
    ground.run(case, directory, recorder, stranger)
    recorder.clear()

    ground.sendmail("bob@example.net")

    assert recorder.requests == []
