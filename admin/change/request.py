"""How a change reaches quota: all of one command in one transaction, with the token, and who asks for it."""

from collections.abc import AsyncIterator, Iterable, Sequence

import grpc.aio

from admin.talk.exits import wrong
from admin.talk.services import decision_settings, run
from admin.talk.token import read_token, who
from protos import quota_admin_pb2 as pb
from protos.quota_admin_pb2_grpc import QuotaAdminStub
from quota.admin_token import TOKEN_METADATA
from quota.store.interface import MAX_CHANGES

CHANGES_A_MESSAGE = 500
# A large import waits for the disk; a charge never waits for it longer than for any other transaction.
CHANGE_SECONDS = 60.0


def send(changes: Sequence[pb.Change], *, replace: bool = False) -> pb.ChangeReply:
    """Have quota do all of the changes, or none.

    Args:
        replace: clear the limits and permits that are set now first; locks stay.

    Raises:
        EndError: nothing was changed; or quota did not answer, and nobody knows.
    """
    if len(changes) > MAX_CHANGES:
        raise wrong(f"at most {MAX_CHANGES} changes at a time, not {len(changes)}")
    token = read_token()

    async def ask(channel: grpc.aio.Channel) -> pb.ChangeReply:
        return await QuotaAdminStub(channel).Change(
            _messages(changes, replace=replace, who=who()),
            metadata=((TOKEN_METADATA, token),),
            timeout=CHANGE_SECONDS,
        )

    return run("quota", decision_settings().quota_target, ask)


async def _messages(changes: Sequence[pb.Change], *, replace: bool, who: str) -> AsyncIterator[pb.Changes]:
    for first in range(0, max(len(changes), 1), CHANGES_A_MESSAGE):
        some: Iterable[pb.Change] = changes[first : first + CHANGES_A_MESSAGE]
        yield pb.Changes(changes=some, who=who, replace=replace)
