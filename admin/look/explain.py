"""`mtpolicyctl explain ID`: why a mail was refused, by the id that its sender reads in the SMTP error."""

import re
import shlex
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import grpc
import grpc.aio
import typer

from admin.look.words import country
from admin.talk.exits import EXIT_NO, EndError, command, wrong
from admin.talk.names import plain
from admin.talk.options import JsonOption
from admin.talk.output import print_fields, print_json, print_line
from admin.talk.services import CALL_SECONDS, decision_settings, run
from admin.talk.times import iso, second
from chassis.printable import as_text
from decision.ids import ALPHABET
from decision.settings import MAX_THRESHOLD
from protos import quota_admin_pb2 as pb
from protos import quota_pb2
from protos.quota_admin_pb2_grpc import QuotaAdminStub

LENGTH = 10
# What is not in the alphabet because it looks like something that is (decision/ids.py), as it is typed off.
_MISTAKEN = str.maketrans({"o": "0", "i": "1", "l": "1"})


@command
def explain(
    text: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="The id of the SMTP error; the whole error does as well, in quotes.",
            show_default=False,
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Show what is kept of a refusal: the rule, the counts, country and address, and what would let it pass.

    Exit code 0: it is known; 1: it is not, or no longer; 2: wrong input; 3: quota does not answer.
    """
    decision_id = read_id(text)
    settings = decision_settings()
    zone = ZoneInfo(settings.time_zone_name)

    async def ask(channel: grpc.aio.Channel) -> pb.RefusalRecord | None:
        request = pb.ExplainRequest(decision_id=decision_id)
        try:
            return await QuotaAdminStub(channel).Explain(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise

    record = run("quota", settings.quota_target, ask)
    if record is None:
        raise EndError(
            EXIT_NO,
            f"nothing is kept of {decision_id}: it was no refusal, is too long ago, or one of very many"
            " of a day; see decision's log",
        )
    if as_json:
        print_json(as_object(record, zone))
        return
    print_fields(fields(record, zone))
    print_line()
    for line in advice(record):
        print_line(line)


def read_id(text: str) -> str:
    """The id in a text such as `554 5.7.1 ... (id kbtd6g2g79)`. Raises EndError."""
    within = re.search(r"\(id (\w+)\)", text)
    decision_id = (within[1] if within else text.strip()).lower().translate(_MISTAKEN)
    if len(decision_id) != LENGTH or not set(decision_id) <= set(ALPHABET):
        raise wrong(f"{plain(text)} is no id: an id has {LENGTH} digits and letters, such as kbtd6g2g79")
    return decision_id


def as_object(record: pb.RefusalRecord, zone: ZoneInfo) -> dict[str, Any]:
    """For JSON."""
    return {
        "id": record.decision_id,
        "at": iso(record.at_unix_ms, zone),
        "account": as_text(record.account),
        "login": as_text(record.login),
        "rule": record.rule,
        "enforced": record.mode != quota_pb2.MODE_OBSERVE,
        "detail": record.detail,
        "country": record.country or None,
        "address": as_text(record.address) if record.address else None,
        "sender": as_text(record.sender),
        "recipient": as_text(record.recipient) if record.recipient else None,
        "recipient_count": record.recipient_count,
        "used": record.used if record.has_limit else None,
        "limit": record.maximum if record.has_limit else None,
        "resets": iso(record.resets_unix_ms, zone) if record.has_limit else None,
        "settings": record.settings,
    }


def fields(record: pb.RefusalRecord, zone: ZoneInfo) -> list[tuple[str, str]]:
    """For people."""
    account, login = as_text(record.account), as_text(record.login)
    observed = record.mode == quota_pb2.MODE_OBSERVE
    found = [
        ("id", plain(record.decision_id)),
        ("would be refused" if observed else "refused", second(record.at_unix_ms, zone)),
        ("user", account if login in ("", account) else f"{account}, typed as {login}"),
        ("rule", plain(record.rule) + (f": {plain(record.detail)}" if record.detail else "")),
        ("country", country(record.country)),
        ("address", as_text(record.address) or "-"),
        ("sender", as_text(record.sender) or "<>"),
    ]
    if record.recipient:
        found.append(("recipient", as_text(record.recipient)))
    if record.recipient_count:
        found.append(("recipients", str(record.recipient_count)))
    if record.has_limit:
        end = second(record.resets_unix_ms, zone)
        found.append(("used then", f"{record.used} of {record.maximum}, the period ends {end}"))
    return [*found, ("settings", plain(record.settings) or "-")]


def advice(record: pb.RefusalRecord) -> list[str]:
    """Commands that go on from here."""
    name = as_text(record.account)
    user = shlex.quote(name)
    dashes = "-- " if name.startswith("-") else ""
    look = f"mtpolicyctl usage {dashes}{user}"
    if record.rule == "lock":
        return [
            f"It is locked. Why: mtpolicyctl audit --user={user}",
            f"To unlock: mtpolicyctl unlock {dashes}{user}",
        ]
    if record.has_limit:
        act = f"mtpolicyctl limit set --until tonight {dashes}{user} {min(record.maximum * 2, MAX_THRESHOLD)}"
    elif re.fullmatch("[A-Z]{2}", record.country):
        act = f"mtpolicyctl country allow --until tonight {dashes}{user} {record.country}"
    else:
        return [f"What else it sends: {look}"]
    lock = f"mtpolicyctl lock --reason stolen {dashes}{user}"
    return [f"What else it sends: {look}", f"To let it pass:     {act}", f"If it is stolen:    {lock}"]
