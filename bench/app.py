"""The command line: it joins the runs, the subjects and the document."""

import argparse
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from bench import document
from bench.awake import kept_awake
from bench.build import BuildError, build
from bench.debian import install_hint
from bench.figures import figures
from bench.interface import StartProblem, Subject
from bench.large import Size, large_lines, measure_large
from bench.limit import Limit
from bench.load import ABROAD_EVERY, USERS, LoadError
from bench.machine import compiler, machine_line
from bench.minute import measure_minute, minute_lines
from bench.ours import Ours
from bench.peers import mtpolicyd, policyd_rate_limit, postfwd
from bench.processes import adopt_orphans
from bench.rounds import Plan, Sample, measure, prove
from bench.tables import answers_table, own_table, subjects_table

SUBJECTS: Sequence[Subject] = (Ours(), *mtpolicyd.PEERS, *postfwd.PEERS, *policyd_rate_limit.PEERS, Limit())
MINUTE_SECONDS = 60.0


def main(arguments: Sequence[str] = sys.argv[1:]) -> int:
    """Run; returns the exit code: 1 if an answer of ours was wrong, 2 if it cannot run."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    adopt_orphans()
    try:
        with tempfile.TemporaryDirectory(prefix="mtpolicyd-bench-", dir=options.directory) as name:
            plan = Plan(
                program=build("policyload"),
                scratch=Path(name),
                connections=options.connections,
                seconds=options.seconds,
            )
            run = _large if options.large else _minute if options.minute else _rounds
            with kept_awake(build("awake")) if options.awake else nullcontext():
                section, lines, wrong = run(plan, options)
    except (BuildError, LoadError, StartProblem) as error:
        _say(f"bench: {error}")
        return 2
    command = shlex.join(["python", "-m", "bench", *arguments])
    head = [f"`{command}`, {datetime.now(UTC):%Y-%m-%d}. {_setting(options)}", ""]
    print("\n".join([*head, *lines]))
    for finding in wrong:
        _say(f"WRONG: {finding}")
    if options.document is not None and not wrong:
        document.write_section(options.document, section, head + lines)
        _say(f"written into {options.document}")
    return 1 if wrong else 0


Outcome = tuple[str, list[str], Sequence[str]]  # section of the document, its lines, what was wrong


def _rounds(plan: Plan, options: argparse.Namespace) -> Outcome:
    chosen = [subject for subject in SUBJECTS if not options.only or subject.key in options.only]
    absent = {s.title: f"not installed, `{install_hint(s.packages)}`" for s in chosen if s.missing()}
    present = [subject for subject in chosen if subject.title not in absent]
    samples: dict[str, list[Sample]] = {subject.title: [] for subject in present}
    findings: dict[str, list[str]] = {}
    for turn in range(options.rounds):
        for subject in list(present):
            try:
                if turn == 0 and subject.key != "limit":
                    findings[subject.title] = prove(subject, plan)
                idle = options.idle_seconds if subject.key == "us" and turn == 0 else 0
                sample = measure(subject, plan, idle_seconds=idle)
            except (StartProblem, LoadError) as error:
                if subject.key == "us":
                    raise
                _say(f"{subject.title}: {error}")
                absent[subject.title] = "failed in this run"
                present.remove(subject)
                del samples[subject.title]
                continue
            samples[subject.title].append(sample)
            findings.setdefault(subject.title, []).extend(sample.tally.wrong)
            rates = ", ".join(f"{count}: {load.rate:,.0f}/s" for count, load in sample.loads.items())
            _say(f"round {turn + 1}, {subject.title}: {rates}")
    everybody = {title: figures(taken) for title, taken in samples.items()}
    by_key = {subject.key: (subject.title, everybody[subject.title]) for subject in present}
    ours, limit = by_key.get("us"), by_key.get("limit")
    peers = dict(pair for key, pair in by_key.items() if key not in ("us", "limit"))
    lines = subjects_table(plan.connections, ours, peers, limit, absent)
    lines += ["", f"PSS with {plan.connections[-1]} connections open, all processes together.", ""]
    lines += answers_table(everybody, findings)
    if ours:
        lines += ["", *own_table(ours[1])]
    lines += ["", *(f"- {subject.note}." for subject in present), ""]
    versions = {name: number for subject in present for name, number in subject.versions().items()}
    lines.append("Versions: " + ", ".join(f"{name} {number}" for name, number in versions.items()) + ".")
    return "awake" if options.awake else "rates", lines, findings.get(ours[0], []) if ours else []


def _large(plan: Plan, options: argparse.Namespace) -> Outcome:
    size = Size(users=options.users, charges=options.charges)
    result = measure_large(plan, size, options.rounds, _say)
    return "large", large_lines(result), result.wrong


def _minute(plan: Plan, options: argparse.Namespace) -> Outcome:
    load, wrong = measure_minute(plan, options.minute_seconds)
    return "minute", minute_lines(load), wrong


def _setting(options: argparse.Namespace) -> str:
    where = machine_line(Path(options.directory or tempfile.gettempdir()))
    return (
        f"{where}; {compiler()}. The load generator runs on the same cores. {USERS:,} users unless it says"
        f" otherwise; one mail of {ABROAD_EVERY} comes from abroad."
    )


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    size = Size()
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures us beside our peers.")
    add = parser.add_argument
    add("--rounds", type=int, default=3, help="of which medians are taken (%(default)s)")
    add("--seconds", type=float, default=5.0, help="for each number of connections (%(default)s)")
    add("--connections", type=_numbers, default=(1, 10, 50, 100), help="(1,10,50,100)")
    add("--only", type=_names, default=(), help="of " + ",".join(subject.key for subject in SUBJECTS))
    add("--idle-seconds", type=float, default=10.0, help="to watch us while nobody asks (%(default)s)")
    add("--directory", type=Path, help="for the state of all subjects (the system's temporary directory)")
    add("--document", type=Path, help="to write the results into")
    add("--large", action="store_true", help="us with a big state, and with an empty one")
    add("--users", type=int, default=size.users, help="of the big state (%(default)s)")
    add("--charges", type=int, default=size.charges, help="of the big state (%(default)s)")
    add("--minute", action="store_true", help="us for one steady minute")
    add("--awake", action="store_true", help="subjects on processors that are kept from halting")
    add("--minute-seconds", type=float, default=MINUTE_SECONDS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if unknown := set(options.only) - {subject.key for subject in SUBJECTS}:
        parser.error(f"--only: unknown {', '.join(sorted(unknown))}")
    if options.rounds < 1:
        parser.error("--rounds is at least 1")
    if options.awake and (options.large or options.minute):
        parser.error("--awake is for the subjects beside each other")
    return options


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
