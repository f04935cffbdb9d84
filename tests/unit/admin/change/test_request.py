"""How a change reaches quota."""

import grpc
import pytest

from admin.change import request
from admin.change.request import CHANGES_A_MESSAGE, send
from admin.talk.exits import EndError
from admin.talk.token import who
from protos import quota_admin_pb2 as pb
from tests.support.admin_fakes import TOKEN, FakeQuotaAdmin


def changes(count: int) -> list[pb.Change]:
    return [pb.Change(account=str(number).encode(), set_limit=1) for number in range(count)]


def test_all_changes_travel_together(quota: FakeQuotaAdmin) -> None:
    """In order, in one call with the token, and with the name of whoever asks."""
    wanted = changes(CHANGES_A_MESSAGE + 1)
    assert send(wanted, replace=True).done == len(wanted)

    assert quota.tokens == [TOKEN]
    assert [len(message.changes) for message in quota.changes] == [CHANGES_A_MESSAGE, 1]
    assert [change for message in quota.changes for change in message.changes] == wanted
    assert {(message.who, message.replace) for message in quota.changes} == {(who(), True)}


def test_no_change_may_be_a_change_too(quota: FakeQuotaAdmin) -> None:
    """An empty file that replaces clears everything."""
    send([], replace=True)

    assert [(len(message.changes), message.replace) for message in quota.changes] == [(0, True)]


def test_there_is_a_bound(quota: FakeQuotaAdmin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told before anything is sent."""
    monkeypatch.setattr(request, "MAX_CHANGES", 2)
    with pytest.raises(EndError, match="at most 2 changes at a time, not 3") as caught:
        send(changes(3))

    assert caught.value.code == 2
    assert quota.tokens == []


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, 2),
        (grpc.StatusCode.INVALID_ARGUMENT, 2),
        (grpc.StatusCode.UNAVAILABLE, 3),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 3),
    ],
)
def test_a_refused_change_is_told(quota: FakeQuotaAdmin, status: grpc.StatusCode, code: int) -> None:
    """With quota's words."""
    quota.errors["Change"] = (status, "the token is wrong")
    with pytest.raises(EndError, match="the token is wrong") as caught:
        send(changes(1))

    assert caught.value.code == code
