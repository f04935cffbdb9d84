"""The settings of decision: what may pass."""

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode
from tzlocal import get_localzone_name, reload_localzone

from chassis.settings import (
    Address,
    Allowed,
    Endpoint,
    Explained,
    Networks,
    OptionalPath,
    SecretFile,
    ServiceSettings,
    absolute,
    split_list,
)
from decision.account import account_of
from decision.countries import GROUPS, expand, names_of
from decision.data import BUILT_IN
from decision.verdict import Mode

MAX_THRESHOLD = 10**9
# Of a file of recorded requests; the longest line has 64 KiB.
MIN_RECORD_BYTES = 100_000
MAX_RECORD_BYTES = 10**12
MAX_RECORD_FILES = 1000
COUNTRY_FILES = "*Country*.mmdb"
RULE_NAMES = ("country", "quota")  # decision.rules builds them; each has a <name>_mode below


def _parse_countries(value: object) -> object:
    items = split_list(value)
    return expand(map(str, items)) if isinstance(items, tuple | frozenset) else items


def _parse_accounts(value: object) -> object:
    items = split_list(value)
    if not isinstance(items, tuple):
        return items
    return frozenset(account_of(str(item).encode()) for item in items)


def _parse_rules(value: object) -> object:
    items = split_list(value)
    if not isinstance(items, tuple):
        return items
    if not items:
        raise ValueError("the list is empty: nothing would be checked; a rule is switched off by its mode")
    for item in items:
        if item not in RULE_NAMES:
            raise ValueError(f"{item} is no rule")
    if len(set(items)) != len(items):
        raise ValueError("a rule is listed twice")
    return items


def _parse_databases(value: object) -> object:
    items = split_list(value)
    if not isinstance(items, tuple):
        return items
    names = [BUILT_IN if item == BUILT_IN else Path(item).stem for item in map(str, items)]
    for item, name in zip(map(str, items), names, strict=True):
        if item != BUILT_IN:
            absolute(Path(item))
        if names.count(name) > 1:
            raise ValueError(f"two databases are named {name}")
        if item != BUILT_IN and name == BUILT_IN:
            raise ValueError(f"{item} would be named as the built-in data are")
    return tuple(map(str, items))


def _parse_time_zone(value: object) -> object:
    if value == "":
        return ""
    try:
        ZoneInfo(str(value))
    except (OSError, ValueError, KeyError) as error:  # a directory's name raises OSError
        raise ValueError("no time zone of this name") from error
    return value


def host_time_zone() -> str:
    """The IANA name of the host's time zone now; UTC where the host does not say, or contradicts itself."""
    try:
        reload_localzone()
        name: str = get_localzone_name()
        ZoneInfo(name)
    except (OSError, ValueError, KeyError, TypeError):
        return "UTC"
    return name


RuleMode = Annotated[Mode, Allowed("enforce, observe or off")]


class Settings(ServiceSettings):
    """See ServiceSettings."""

    allowedcountries: Annotated[
        frozenset[str],
        NoDecode,
        BeforeValidator(_parse_countries),
        Allowed(f"comma-separated ISO 3166-1 codes of two letters, or {', '.join(GROUPS)}; at least one"),
        Explained(names_of),
    ] = Field(frozenset({"DE"}), description="countries that a user may send from")
    threshold: Annotated[
        int, Field(ge=1, le=MAX_THRESHOLD), Allowed(f"a whole number, 1 to {MAX_THRESHOLD}")
    ] = Field(1000, description="what a user may send in one calendar day")
    count: Annotated[Literal["recipients", "messages"], Allowed("recipients or messages")] = Field(
        "recipients", description="what the threshold counts"
    )
    timezone: Annotated[
        str, AfterValidator(_parse_time_zone), Allowed("an IANA name such as Europe/Berlin, or empty")
    ] = Field("", description="whose midnight begins a day; empty: the host's time zone")
    rules: Annotated[
        tuple[str, ...],
        NoDecode,
        BeforeValidator(_parse_rules),
        Allowed(f"comma-separated, of {', '.join(RULE_NAMES)}"),
    ] = Field(RULE_NAMES, description="the rules that are asked, in this order")
    country_mode: RuleMode = Field(
        Mode.ENFORCE, description="enforce; observe: log and count, but let pass; off"
    )
    country_unknown: Annotated[Literal["allow", "reject"], Allowed("allow or reject")] = Field(
        "allow", description="what becomes of a public address that the country data does not know"
    )
    quota_mode: RuleMode = Field(Mode.ENFORCE, description="enforce; observe: count, log, but let pass; off")
    quota_action: Annotated[Literal["defer", "reject"], Allowed("defer or reject")] = Field(
        "defer", description="over the threshold: defer (4xx, the client tries again) or reject (5xx)"
    )
    exempt_accounts: Annotated[
        frozenset[bytes], NoDecode, BeforeValidator(_parse_accounts), Allowed("comma-separated logins")
    ] = Field(frozenset(), description="logins that are counted but never refused")
    exempt_networks: Networks = Field((), description="client networks that are counted but never refused")
    allowed_networks: Networks = Field((), description="client networks that pass the country rule")
    databases: Annotated[
        tuple[str, ...],
        NoDecode,
        BeforeValidator(_parse_databases),
        Allowed(f"comma-separated paths of .mmdb files, or {BUILT_IN}; no two files of one name"),
    ] = Field(
        (),
        description="country data; of several, mail is refused only if all that know the address say so; "
        f"empty: the newest `{COUNTRY_FILES}` in `geoip_directory`, else the built-in data",
    )
    geoip_directory: Annotated[Path, AfterValidator(absolute), Allowed("an absolute path")] = Field(
        Path("/var/lib/GeoIP"),
        description="where geoipupdate and `mtpolicyctl geo update` put country data",
    )
    geo_update_provider: Annotated[Literal["", "maxmind", "dbip"], Allowed("maxmind, dbip or empty")] = Field(
        "",
        description="what `mtpolicyctl geo update` fetches: maxmind (GeoLite2 Country) or dbip "
        "(DB-IP Country Lite); empty: maxmind if both files of its account are named, else dbip",
    )
    maxmind_account_id_file: SecretFile = Field(
        None, description="a file that holds the account id of MaxMind, for `mtpolicyctl geo update`"
    )
    maxmind_license_key_file: SecretFile = Field(
        None, description="a file that holds the licence key of that account"
    )
    record_directory: OptionalPath = Field(
        None,
        description="an existing directory where every request of a user is recorded, for "
        "`mtpolicyctl replay`; empty: none is",
    )
    record_max_bytes: Annotated[
        int,
        Field(ge=MIN_RECORD_BYTES, le=MAX_RECORD_BYTES),
        Allowed(f"a whole number, {MIN_RECORD_BYTES} to {MAX_RECORD_BYTES}"),
    ] = Field(64 * 1024 * 1024, description="size of a file of recorded requests; then the next one begins")
    record_files: Annotated[
        int, Field(ge=1, le=MAX_RECORD_FILES), Allowed(f"a whole number, 1 to {MAX_RECORD_FILES}")
    ] = Field(4, description="how many full files of recorded requests are kept")
    record_key_file: SecretFile = Field(
        None,
        description="a file with a secret of at least 16 bytes: client addresses, recipients and senders are "
        "recorded as keyed hashes, or nothing is; empty: they are recorded as they are",
    )
    decision_listen: Endpoint = Field(
        Address("127.0.0.1", 12346), description="where decision listens for the frontend"
    )
    quota_target: Endpoint = Field(Address("127.0.0.1", 12347), description="where decision reaches quota")
    decision_metrics: Endpoint = Field(
        Address("127.0.0.1", 9102), description="where decision answers /metrics and /healthz"
    )

    @property
    def metrics_endpoint(self) -> Address:
        return self.decision_metrics

    def mode_of(self, rule: str) -> Mode:
        """The mode of a rule by its name."""
        mode: Mode = getattr(self, f"{rule}_mode")
        return mode

    @property
    def time_zone_name(self) -> str:
        """The IANA name in force."""
        return self.timezone or host_time_zone()

    def banner(self) -> list[tuple[str, str]]:
        shown = {
            "country": ("Countries", ", ".join(sorted(self.allowedcountries))),
            "quota": ("Quota", f"{self.threshold} {self.count} a day, {self.time_zone_name}"),
        }
        lines = [(shown[rule][0], f"{shown[rule][1]} ({self.mode_of(rule)})") for rule in self.rules]
        return [*lines, ("Metrics of decision", self.decision_metrics.url("/metrics"))]
