"""Calls an admin's services of quota, as mtpolicyctl does, from another process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import grpc

from protos import quota_admin_pb2 as pb
from protos.quota_admin_pb2_grpc import QuotaAdminStub
from tests.support.services import Services


class Admin:
    """Args: token: as it stands in the state directory."""

    def __init__(self, channel: grpc.Channel, token: str) -> None:
        self.calls = QuotaAdminStub(channel)
        self._token = token

    def change(self, *changes: pb.Change, who: str = "root@mail", replace: bool = False) -> pb.ChangeReply:
        """Do them in one request."""
        return self.calls.Change(
            iter([pb.Changes(changes=changes, who=who, replace=replace)]),
            metadata=(("mtpolicyd-token", self._token),),
            timeout=30,
        )

    def audit(self, account: bytes = b"") -> Sequence[pb.AuditEntry]:
        return self.calls.Audit(pb.AuditRequest(most=100, account=account), timeout=10).entries

    def explain(self, decision_id: str) -> pb.RefusalRecord:
        return self.calls.Explain(pb.ExplainRequest(decision_id=decision_id), timeout=10)


@contextmanager
def admin_of(services: Services) -> Iterator[Admin]:
    """Connected to their quota."""
    target = services.environment["MTPOLICYD_QUOTA_TARGET"]
    token = (services.directory / "state" / "admin.token").read_text().strip()
    with grpc.insecure_channel(target) as channel:
        yield Admin(channel, token)
