"""country: a user sends only from allowed countries.

No database is the truth, so mail is refused only if every one that knows the address says "not allowed".
Addresses without a country pass: private and other non-global ones (webmail on the host comes from
127.0.0.1), and what is no address at all. So does everything while there is no country data.
"""

from decision.addresses import NetworkSet
from decision.origins import Kind, Origins
from decision.verdict import MailEvent, Objection, Verb

STATUS = "5.7.1"  # RFC 3463: delivery not authorized


class CountryRule:
    """Looks at the client's address; costs nothing."""

    name = "country"

    def __init__(
        self,
        *,
        origins: Origins,
        allowed: frozenset[str],
        allowed_networks: NetworkSet,
        reject_unknown: bool,
    ) -> None:
        self._origins = origins
        self._allowed = allowed
        self._allowed_networks = allowed_networks
        self._reject_unknown = reject_unknown

    def look(self, event: MailEvent) -> Objection | None:
        """See decision.chain.LookingRule."""
        origin = self._origins.of(event.client_address)
        if origin.kind is Kind.COUNTRY:
            if origin.may_be_in(self._allowed):
                return None
            where = f"country {origin.country}"
        elif origin.kind is Kind.UNKNOWN and self._reject_unknown:
            where = "an unknown country"
        else:
            return None
        if event.client_address in self._allowed_networks:
            return None
        return Objection(Verb.REJECT, STATUS, f"Sending mail from {where} is not allowed", origin.country)
