"""What an admin sees, as plain values."""

from protos import quota_admin_pb2 as pb
from quota.overrides import AuditEntry
from quota.views import TopAccount


def test_fields_are_called_as_in_the_messages() -> None:
    """They are told by name."""
    for values, message in ((TopAccount, pb.TopAccount), (AuditEntry, pb.AuditEntry)):
        assert set(values._fields) == {field.name for field in message.DESCRIPTOR.fields}
