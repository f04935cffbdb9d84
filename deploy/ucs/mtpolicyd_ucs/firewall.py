"""The firewall of UCS: the policy port is open exactly while it is meant for other hosts."""

from mtpolicyd_ucs import systemd
from mtpolicyd_ucs.listening import Listening
from mtpolicyd_ucs.registry import ReadableRegistry, change, with_prefix
from mtpolicyd_ucs.telling import say, warn

PREFIX = "security/packetfilter/package/univention-mtpolicyd/"
UNIT = "univention-firewall.service"


def open_for(registry: ReadableRegistry, where: Listening | None, allowed_clients: str) -> None:
    """Set and unset the variables, and say what the admin has to know.

    Args:
        where: where Postfix asks; None: nobody does any more.
        allowed_clients: what is in force.
    """
    wanted = {}
    if where is not None and where.beyond_loopback:
        wanted = {
            f"{PREFIX}tcp/{where.port}/all": "ACCEPT",
            f"{PREFIX}tcp/{where.port}/all/en": "univention-mtpolicyd",
        }
    there = with_prefix(registry, PREFIX)
    if there == wanted:
        return
    changes: dict[str, str | None] = dict.fromkeys(name for name in there if name not in wanted)
    change({**changes, **wanted})
    systemd.restart_if_active(UNIT)
    if where is not None and wanted:
        warn(
            f"port {where.port} is open to other hosts. The policy protocol has no authentication: whoever"
            f" may ask can use up a user's quota. Those of mtpolicyd/allowedclients may: {allowed_clients}"
        )
    else:
        say("the policy port is no longer open to other hosts: the firewall variables are unset")
