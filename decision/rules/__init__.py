"""The table of rules: a new rule is one file beside these and one line here (see CONTRIBUTING.md)."""

from collections.abc import Callable

from decision.addresses import NetworkSet
from decision.chain import LimitingRule, LookingRule, Rule
from decision.origins import Origins
from decision.rules.country import CountryRule
from decision.rules.quota import QuotaRule
from decision.settings import Settings

# Each makes its rule from the settings and from the country data. These only look, and cost no charge.
LOOKING: dict[str, Callable[[Settings, Origins], LookingRule]] = {
    "country": lambda settings, origins: CountryRule(
        origins=origins,
        allowed=settings.allowedcountries,
        allowed_networks=NetworkSet(settings.allowed_networks),
        reject_unknown=settings.country_unknown == "reject",
    ),
}
# These have quota check and charge a limit of the rule's name.
LIMITING: dict[str, Callable[[Settings, Origins], LimitingRule]] = {
    "quota": lambda settings, _: QuotaRule(
        maximum=settings.threshold,
        count=settings.count,
        time_zone=settings.time_zone_name,
        reject=settings.quota_action == "reject",
    ),
}
RULES: dict[str, Callable[[Settings, Origins], Rule]] = {**LOOKING, **LIMITING}
