"""One call of the doctor, from the options to the exit code."""

from pathlib import Path
from typing import NamedTuple

import typer

from admin.doctor import ucr
from admin.doctor.endpoint import OurService
from admin.doctor.entrances import Way
from admin.doctor.examination import Examination, examine, other_instances
from admin.doctor.findings import Finding, Severity, at_entrances, by_severity
from admin.doctor.host_findings import hidden_clients, of_host, strangers
from admin.doctor.live import IMPLICIT_TLS_PORT, Dialogue, probe_policy_port, quota_counts, talk
from admin.doctor.mends import Bench
from admin.doctor.output import Report, open_console, show, to_json
from admin.doctor.postconf import Postconf, PostfixMissing
from admin.doctor.seen_clients import DEFAULT, newest_mails
from admin.doctor.verdict import Answer
from admin.doctor.wording import Told, language
from chassis.config import load_or_exit
from chassis.files import read_whole
from chassis.printable import printable
from chassis.settings import EXIT_SETTINGS, Address
from decision.settings import Settings as DecisionSettings
from frontend.settings import Settings as FrontendSettings

EXIT_COVERED = 0
EXIT_NOT_COVERED = 1
EXIT_NOT_THERE = 3
MAX_PASSWORD_BYTES = 4096
SUBMISSION_PORT = 587


class Request(NamedTuple):
    """The options, see admin/doctor/command.py."""

    config_dir: Path | None
    mail_log: Path | None
    live: bool
    login: str
    password_file: Path | None
    smtp: str
    sender: str
    recipient: str
    as_json: bool
    lang: str
    ucr_dir: Path
    accepted: frozenset[str]


class OptionError(Told):
    """A wrong option."""


def consult(request: Request) -> int:
    """Examine, print, and return the exit code."""
    ours = OurService(load_or_exit("frontend", FrontendSettings).settings.listeners)
    spoken = language(request.lang)
    try:
        _check(request)
        password = _password(request)
        postconf = Postconf(request.config_dir)
        examination = examine(postconf, ours, request.accepted)
        if request.config_dir is None:
            examination = examination._replace(
                strangers=strangers(examination), instances=other_instances(postconf)
            )
        mails = _hidden_clients(request)
        dialogue = _dialogue(request, examination, password) if request.login else None
    except OptionError as error:
        typer.echo(printable(error.told(spoken)), err=True)
        return EXIT_SETTINGS
    except PostfixMissing as error:
        typer.echo(printable(error.told(spoken)), err=True)
        return EXIT_NOT_THERE
    registry = ucr.read(request.ucr_dir)
    bench = Bench(examination, ours, registry)
    live = _live(request, ours, dialogue)
    findings = by_severity([*at_entrances(bench), *of_host(bench), *mails, *live])
    answer = _answer(examination, live)
    report = Report(examination, ours, findings, answer, spoken)
    if request.as_json:
        typer.echo(to_json(report))
    else:
        show(report, open_console())
    if any(finding.id == "live_no_answer" for finding in live):
        return EXIT_NOT_THERE
    return EXIT_COVERED if answer is Answer.COVERED else EXIT_NOT_COVERED


def _answer(examination: Examination, live: list[Finding]) -> Answer:
    """What was read, unless what was tried says otherwise."""
    if any(finding.id == "live_not_counted" for finding in live):
        # The login may have another name in quota: what was read may still hold.
        return Answer.NOT_COVERED if examination.answer is Answer.NOT_COVERED else Answer.UNKNOWN
    doubtful = any(finding.severity in (Severity.ERROR, Severity.UNKNOWN) for finding in live)
    if doubtful and examination.answer is Answer.COVERED:
        return Answer.UNKNOWN
    return examination.answer


def _check(request: Request) -> None:
    if request.lang and request.lang not in ("en", "de"):
        raise OptionError("unknown_language", request.lang)
    if request.login and request.password_file is None:
        raise OptionError("needs", "--login", "--password-file")
    if request.config_dir is not None and not (request.config_dir / "main.cf").is_file():
        raise OptionError("no_main_cf", str(request.config_dir))
    for name in ("password_file", "smtp", "sender", "recipient"):
        if getattr(request, name) and not request.login:
            raise OptionError("needs", f"--{name.replace('_', '-')}", "--login")
    for name in ("login", "sender", "recipient"):
        if not getattr(request, name).isprintable():
            raise OptionError("not_printable", f"--{name}")


def _password(request: Request) -> str:
    if request.password_file is None:
        return ""
    try:
        password = read_whole(request.password_file, MAX_PASSWORD_BYTES).partition(b"\n")[0].decode()
    except OSError as error:
        raise OptionError(
            "unread", f"--password-file {request.password_file}", str(error.strerror)
        ) from error
    except UnicodeDecodeError as error:
        raise OptionError("no_utf8", str(request.password_file)) from error
    except ValueError as error:
        raise OptionError("no_password_file", str(request.password_file), str(MAX_PASSWORD_BYTES)) from error
    password = password.rstrip("\r")
    if not password:
        raise OptionError("no_password", str(request.password_file))
    return password


def _dialogue(request: Request, examination: Examination, password: str) -> Dialogue:
    host, port = "127.0.0.1", SUBMISSION_PORT
    if request.smtp:
        try:
            address = Address.parse(request.smtp)
        except ValueError as error:
            raise OptionError("no_address", request.smtp) from error
        if address.path:
            raise OptionError("no_address", request.smtp)
        host, port = address.host, address.port
    else:
        ports = [
            examined.entrance.port
            for examined in examination.entrances
            if examined.entrance.way is Way.SMTPD and examined.logins and examined.entrance.port
        ]
        preferred = [number for number in (SUBMISSION_PORT, IMPLICIT_TLS_PORT, *ports) if number in ports]
        port = preferred[0] if preferred else port
    name = examination.values.get("myhostname", "localhost")
    recipient = request.recipient or (request.login if "@" in request.login else f"postmaster@{name}")
    return Dialogue(host, port, request.login, password, request.sender, recipient)


def _hidden_clients(request: Request) -> list[Finding]:
    path = request.mail_log or (DEFAULT if request.config_dir is None else None)
    if path is None:
        return []
    try:
        found = hidden_clients(newest_mails(path))
    except OSError as error:
        if request.mail_log is None and isinstance(error, FileNotFoundError):
            return []  # this host logs elsewhere
        if request.mail_log is not None:
            raise OptionError("unread", f"--mail-log {path}", str(error.strerror)) from error
        return [Finding("mail_log_unread", Severity.WARNING, (), (str(path), str(error.strerror)))]
    return [found] if found is not None else []


def _live(request: Request, ours: OurService, dialogue: Dialogue | None) -> list[Finding]:
    found = []
    if request.live or dialogue is not None:
        found.append(probe_policy_port(ours.address))
    if dialogue is not None:
        settings = load_or_exit("decision", DecisionSettings).settings
        found.append(talk(dialogue, quota_counts(settings.quota_target, settings.time_zone_name)))
    return found
