"""Whether the answers of our services were right: replies against what decision and quota have counted."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.load import Load

# What each reply to Postfix must look like (decision/rules, decision/decider.py).
TEXTS = {
    "DUNNO": re.compile(r"DUNNO"),
    "REJECT": re.compile(r"REJECT 5\.7\.1 Sending mail from country US is not allowed \(id [0-9a-z]{10}\)"),
    "DEFER": re.compile(
        r"DEFER 4\.7\.1 Daily limit of \d+ recipients reached, it ends [0-9-]{10} 00:00 \S+"
        r" \(id [0-9a-z]{10}\)"
    ),
}


class Counts(NamedTuple):
    """What our services say since their start, or since an earlier Counts."""

    asked: int  # questions from the frontend to decision
    answered: int  # answers back
    charges_sent: int  # items from decision to quota: charges, and refusals to be recorded
    charges_back: int
    units: int  # charged, by quota's metric
    stored: int  # charged, in the store
    refused: int  # refused by the quota rule, in units, in the store
    recorded: int  # refusals in the store, of all rules

    def since(self, before: "Counts") -> "Counts":
        """The difference."""
        return Counts(*(now - then for now, then in zip(self, before, strict=True)))


def wrong_replies(loads: Sequence[Load], *, over_limit: int = 0) -> list[str]:
    """What is wrong in the replies: home passes, abroad is rejected, `over_limit` mails are deferred."""
    findings = []
    for load in loads:
        if load.failed:
            findings.append(
                f"{load.connections} connections: {load.lost} requests lost, {load.malformed} malformed"
                f" replies, {load.unanswered} unanswered"
            )
        if load.requests != load.replies + load.failed:
            findings.append(f"{load.requests} requests, but {load.replies} replies")
        if set(load.abroad) - {"REJECT"}:
            findings.append(f"mail from abroad was answered {dict(load.abroad)}")
        findings += [
            f"a reply reads {text!r}"
            for verb, text in load.texts.items()
            if not (verb in TEXTS and TEXTS[verb].fullmatch(text))
        ]
        if set(load.home) - {"DUNNO", "DEFER"}:
            findings.append(f"mail from home was answered {dict(load.home)}")
    deferred = total(loads, "DEFER")
    if deferred != over_limit:
        findings.append(f"{deferred} mails were deferred, {over_limit} were to be")
    return findings


def wrong_counts(loads: Sequence[Load], counts: Counts) -> list[str]:
    """Where the counts of our services differ from the replies that they gave; each mail is one unit."""
    replies = sum(load.replies for load in loads)
    passed, deferred, rejected = (total(loads, verb) for verb in ("DUNNO", "DEFER", "REJECT"))
    expected: Mapping[str, tuple[int, int]] = {
        "questions to decision": (counts.asked, replies),
        "answers of decision": (counts.answered, replies),
        "items to quota": (counts.charges_sent, replies),
        "results of quota": (counts.charges_back, replies),
        "units charged (metric)": (counts.units, passed),
        "units charged (store)": (counts.stored, passed),
        "units refused (store)": (counts.refused, deferred),
        "refusals recorded (store)": (counts.recorded, deferred + rejected),
    }
    return [
        f"{what}: {found}, by the replies it should be {wanted}"
        for what, (found, wanted) in expected.items()
        if found != wanted
    ]


def total(loads: Sequence[Load], verb: str) -> int:
    """Replies with this first word."""
    return sum(counts.get(verb, 0) for load in loads for counts in (load.home, load.abroad))
