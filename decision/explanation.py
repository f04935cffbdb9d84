"""What becomes of an address under the settings in force, and why, for people to read.

The answer comes from the chain of rules itself; only the words for it are made here.
"""

from typing import NamedTuple

from decision.addresses import Address, NetworkSet, parse_address
from decision.countries import name_of
from decision.origins import Kind, Origin, Origins
from decision.policy import make_policy
from decision.settings import Settings
from decision.verdict import MailEvent, Mode, Stage

_WITHOUT_COUNTRY = {
    Kind.LOOPBACK: "a loopback address has no country",
    Kind.PRIVATE: "a private address has no country",
    Kind.LINK_LOCAL: "a link-local address has no country",
    Kind.CGNAT: "a shared address (carrier-grade NAT) has no country",
    Kind.OTHER_NON_GLOBAL: "an address that is not global has no country",
    Kind.ERROR: "the country data is broken inside",
    Kind.NO_DATA: "there is no country data",
}


class Explanation(NamedTuple):
    """`looked_up` is the address that the databases are asked about: an IPv6 address may wrap another one."""

    address: str
    looked_up: Address
    origin: Origin
    refused: bool
    reason: str


class Explainer:
    """Explains addresses. Args: settings and databases as decision has them in force."""

    def __init__(self, settings: Settings, origins: Origins) -> None:
        self._settings = settings
        self._origins = origins
        self._policy = make_policy(settings, origins)

    def explain(self, text: str) -> Explanation:
        """What a mail of a logged-in user from this address would meet. Raises ValueError for no address."""
        client_address = text.encode()
        address = parse_address(client_address)
        if address is None:
            raise ValueError(f"{text!r} is no address")
        exempt = client_address in NetworkSet(self._settings.exempt_networks)
        opinion = self._policy.chain.look(_mail_from(client_address), exempt=exempt)
        origin = self._origins.peek(client_address)
        if opinion.refusal is not None:
            reason = opinion.refusal.objection.text
        elif opinion.noted:
            mode = self._settings.country_mode
            why = "it is in exempt_networks" if exempt else f"country_mode is {mode}"
            reason = f"{why}; otherwise: {opinion.noted[0].objection.text}"
        else:
            reason = self._why_it_passes(client_address, origin)
        return Explanation(text, address, origin, opinion.refusal is not None, reason)

    def _why_it_passes(self, client_address: bytes, origin: Origin) -> str:
        settings = self._settings
        if "country" not in settings.rules:
            return "country is not among the rules"
        if settings.country_mode is Mode.OFF:
            return "country_mode is off"
        if origin.kind in _WITHOUT_COUNTRY:
            return _WITHOUT_COUNTRY[origin.kind]
        allowed = sorted({answer.country for answer in origin.answers} & settings.allowedcountries)
        if allowed:
            others = [
                f"{answer.source} says {answer.country}"
                for answer in origin.answers
                if answer.country and answer.country not in settings.allowedcountries
            ]
            names = " and ".join(f"{code} ({name_of(code)})" for code in allowed)
            return f"{names} is allowed" + (f", though {' and '.join(others)}" if others else "")
        if client_address in NetworkSet(settings.allowed_networks):
            return "it is in allowed_networks"
        return "no database knows it, and country_unknown is allow"


def _mail_from(client_address: bytes) -> MailEvent:
    """A mail of which nothing counts but where it comes from."""
    return MailEvent(
        stage=Stage.RCPT,
        login=b"",
        account=b"",
        client_address=client_address,
        instance=b"",
        recipient=b"",
        recipient_count=0,
        sender=b"",
        queue_id=b"",
        policy_context=b"",
    )
