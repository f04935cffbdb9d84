"""The settings of decision."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from chassis.config import load
from chassis.settings import Address, SettingsError
from decision import settings as module
from decision.rules import RULES
from decision.settings import RULE_NAMES, Settings
from decision.verdict import Mode


def loaded(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    """The settings with these in the environment, names without the prefix."""
    for name, value in values.items():
        monkeypatch.setenv(f"MTPOLICYD_{name}", value)
    return load(Settings).settings


def test_without_any_setting_the_defaults_are_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """Germany, 1000 recipients a day, both rules enforced, nobody exempt."""
    settings = loaded(monkeypatch)

    assert settings.allowedcountries == {"DE"}
    assert (settings.threshold, settings.count) == (1000, "recipients")
    assert settings.timezone == ""
    assert settings.rules == ("country", "quota")
    assert [settings.mode_of(rule) for rule in settings.rules] == [Mode.ENFORCE, Mode.ENFORCE]
    assert (settings.country_unknown, settings.quota_action) == ("allow", "defer")
    assert settings.exempt_accounts == frozenset()
    assert settings.exempt_networks == settings.allowed_networks == ()
    assert settings.databases == ()
    assert settings.geoip_directory == Path("/var/lib/GeoIP")
    assert settings.geo_update_provider == ""
    assert settings.maxmind_account_id_file is settings.maxmind_license_key_file is None
    assert settings.record_directory is settings.record_key_file is None
    assert (settings.record_max_bytes, settings.record_files) == (67_108_864, 4)
    assert settings.decision_listen == Address("127.0.0.1", 12346)
    assert settings.quota_target == Address("127.0.0.1", 12347)
    assert settings.metrics_endpoint == settings.decision_metrics == Address("127.0.0.1", 9102)


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("ALLOWEDCOUNTRIES", "XX", "XX is no country"),
        ("ALLOWEDCOUNTRIES", "DE,XX", "XX is no country"),
        ("ALLOWEDCOUNTRIES", "UK", "UK is no country, GB is"),
        ("ALLOWEDCOUNTRIES", "de,uk", "UK is no country, GB is"),
        ("ALLOWEDCOUNTRIES", "EN", "EN is no country, GB is"),
        ("ALLOWEDCOUNTRIES", "EL", "EL is no country, GR is"),
        ("ALLOWEDCOUNTRIES", "", "nobody could send"),
        ("ALLOWEDCOUNTRIES", " , ", "nobody could send"),
        ("ALLOWEDCOUNTRIES", "DEU", "DEU is no country"),
        ("ALLOWEDCOUNTRIES", "Germany", "GERMANY is no country"),
        ("ALLOWEDCOUNTRIES", "DE AT", "DE AT is no country"),
        ("ALLOWEDCOUNTRIES", "49", "49 is no country"),
        ("THRESHOLD", "0", "1 to 1000000000"),
        ("THRESHOLD", "-5", "1 to 1000000000"),
        ("THRESHOLD", "1000000001", "1 to 1000000000"),
        ("THRESHOLD", "many", "1 to 1000000000"),
        ("THRESHOLD", "", "1 to 1000000000"),
        ("THRESHOLD", "10.5", "1 to 1000000000"),
        ("COUNT", "bytes", "recipients or messages"),
        ("TIMEZONE", "Europe/Bonn", "no time zone of this name"),
        ("TIMEZONE", "Europe", "no time zone of this name"),
        ("TIMEZONE", "../../etc/passwd", "no time zone of this name"),
        ("TIMEZONE", "/etc/localtime", "no time zone of this name"),
        ("TIMEZONE", "UTC+1", "no time zone of this name"),
        ("TIMEZONE", " ", "no time zone of this name"),
        ("RULES", "country,spf", "spf is no rule"),
        ("RULES", "Country", "Country is no rule"),
        ("RULES", "quota,country,quota", "a rule is listed twice"),
        ("COUNTRY_MODE", "on", "enforce, observe or off"),
        ("QUOTA_MODE", "", "enforce, observe or off"),
        ("COUNTRY_UNKNOWN", "defer", "allow or reject"),
        ("GEO_UPDATE_PROVIDER", "MaxMind", "maxmind, dbip or empty"),
        ("QUOTA_ACTION", "dunno", "defer or reject"),
        ("EXEMPT_NETWORKS", "192.0.2.0/33", "comma-separated networks"),
        ("ALLOWED_NETWORKS", "office", "comma-separated networks"),
        ("RECORD_DIRECTORY", "records", "the path does not begin with /"),
        ("RECORD_MAX_BYTES", "99999", "100000 to 1000000000000"),
        ("RECORD_MAX_BYTES", "64M", "100000 to 1000000000000"),
        ("RECORD_FILES", "0", "1 to 1000"),
        ("DECISION_LISTEN", "12346", "host:port or unix:/path"),
        ("QUOTA_TARGET", "quota", "host:port or unix:/path"),
    ],
)
def test_a_wrong_value_stops_with_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, hint: str
) -> None:
    """The line has the name, the value, and what is allowed or wrong."""
    with pytest.raises(SettingsError) as caught:
        loaded(monkeypatch, **{name: value})

    (line,) = caught.value.lines
    assert line.startswith(f"MTPOLICYD_{name}={value!r} is not allowed")
    assert hint in line
    assert "\n" not in line


def test_each_wrong_value_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The admin need not find them one by one."""
    with pytest.raises(SettingsError) as caught:
        loaded(monkeypatch, ALLOWEDCOUNTRIES="XX", THRESHOLD="0", RULES="spf")

    names = [line.split("=")[0] for line in caught.value.lines]
    assert sorted(names) == ["MTPOLICYD_ALLOWEDCOUNTRIES", "MTPOLICYD_RULES", "MTPOLICYD_THRESHOLD"]


@pytest.mark.parametrize(
    ("value", "countries"),
    [
        ("DE", {"DE"}),
        ("de", {"DE"}),
        (" De , aT,CH ", {"DE", "AT", "CH"}),
        ("DE,,AT,", {"DE", "AT"}),
        ("DE,de", {"DE"}),
        ("XK", {"XK"}),
        ("xk,gb", {"XK", "GB"}),
    ],
)
def test_case_and_blanks_in_country_lists_are_forgiven(
    monkeypatch: pytest.MonkeyPatch, value: str, countries: set[str]
) -> None:
    """Kosovo's XK is a country here, though ISO 3166-1 does not list it."""
    assert loaded(monkeypatch, ALLOWEDCOUNTRIES=value).allowedcountries == countries


def test_other_values_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting takes what its table line allows."""
    settings = loaded(
        monkeypatch,
        THRESHOLD="1000000000",
        COUNT="messages",
        TIMEZONE="America/Argentina/Buenos_Aires",
        RULES=" quota , country",
        COUNTRY_MODE="observe",
        QUOTA_MODE="off",
        COUNTRY_UNKNOWN="reject",
        QUOTA_ACTION="reject",
        EXEMPT_ACCOUNTS="Alice, NEWS@Example.org,Jörg",
        EXEMPT_NETWORKS="192.0.2.0/24, 2001:db8::/32,198.51.100.7",
        ALLOWED_NETWORKS="203.0.113.0/24",
        DATABASES="/srv/country.mmdb, builtin",
        DECISION_LISTEN="unix:/run/decision.sock",
    )

    assert (settings.threshold, settings.count) == (10**9, "messages")
    assert settings.time_zone_name == "America/Argentina/Buenos_Aires"
    assert settings.rules == ("quota", "country")
    assert (settings.mode_of("country"), settings.mode_of("quota")) == (Mode.OBSERVE, Mode.OFF)
    assert (settings.country_unknown, settings.quota_action) == ("reject", "reject")
    assert settings.exempt_accounts == {b"alice", b"news@example.org", "jörg".encode()}
    assert settings.exempt_networks == (
        ip_network("192.0.2.0/24"),
        ip_network("2001:db8::/32"),
        ip_network("198.51.100.7/32"),
    )
    assert settings.allowed_networks == (ip_network("203.0.113.0/24"),)
    assert settings.databases == ("/srv/country.mmdb", "builtin")
    assert settings.record_directory is settings.record_key_file is None
    assert (settings.record_max_bytes, settings.record_files) == (67_108_864, 4)
    assert settings.decision_listen == Address("", 0, "/run/decision.sock")


@pytest.mark.parametrize(
    ("databases", "why"),
    [
        ("country.mmdb", "does not begin with /"),
        ("/srv/a/Country.mmdb,/srv/b/Country.mmdb", "two databases are named Country"),
        ("builtin,builtin", "two databases are named builtin"),
        ("/srv/builtin.mmdb,builtin", "two databases are named builtin"),
        ("/srv/builtin.mmdb", "would be named as the built-in data are"),
    ],
)
def test_databases_have_names_that_tell_them_apart(
    monkeypatch: pytest.MonkeyPatch, databases: str, why: str
) -> None:
    """The name is what metrics and log lines call a database."""
    with pytest.raises(SettingsError, match=why):
        loaded(monkeypatch, DATABASES=databases)


@pytest.mark.parametrize(
    ("timezone", "host", "name"),
    [
        ("", "Europe/Vienna", "Europe/Vienna"),
        ("Asia/Tokyo", "Europe/Vienna", "Asia/Tokyo"),
        ("", "", "UTC"),
        ("", None, "UTC"),
    ],
)
def test_an_empty_time_zone_is_the_hosts(
    monkeypatch: pytest.MonkeyPatch, timezone: str, host: str | None, name: str
) -> None:
    """Its IANA name is what quota is told; a host without one counts in UTC."""
    monkeypatch.setattr(module, "get_localzone_name", lambda: host)
    assert loaded(monkeypatch, TIMEZONE=timezone).time_zone_name == name


@pytest.mark.parametrize("error", [KeyError("TZ"), ValueError("two answers"), OSError("unreadable")])
def test_a_host_that_cannot_tell_its_time_zone_counts_in_utc(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A host whose files contradict each other does not keep the service from starting."""

    def fail() -> str:
        raise error

    monkeypatch.setattr(module, "get_localzone_name", fail)
    assert loaded(monkeypatch).time_zone_name == "UTC"


def test_a_host_with_an_unknown_time_zone_counts_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules and quota get no name that they could not use."""
    monkeypatch.setattr(module, "get_localzone_name", lambda: "Europe/Bonn")
    assert loaded(monkeypatch).time_zone_name == "UTC"


def test_every_rule_has_a_mode_and_a_maker() -> None:
    """The table of rules, the names allowed and the modes go together."""
    assert tuple(RULES) == RULE_NAMES
    assert [Settings().mode_of(name) for name in RULE_NAMES] == [Mode.ENFORCE] * len(RULE_NAMES)


def test_the_banner_tells_what_is_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """Countries in order, the limit with its time zone, and the modes."""
    settings = loaded(
        monkeypatch, ALLOWEDCOUNTRIES="de,at", THRESHOLD="5", TIMEZONE="UTC", QUOTA_MODE="observe"
    )

    assert settings.banner() == [
        ("Countries", "AT, DE (enforce)"),
        ("Quota", "5 recipients a day, UTC (observe)"),
        ("Metrics of decision", "http://127.0.0.1:9102/metrics"),
    ]


def test_recording_has_a_directory_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty is off, in the environment as in a file."""
    on = loaded(monkeypatch, RECORD_DIRECTORY="/var/log/mtpolicyd", RECORD_KEY_FILE="/etc/mtpolicyd.key")
    off = loaded(monkeypatch, RECORD_DIRECTORY="", RECORD_KEY_FILE="")

    assert (on.record_directory, on.record_key_file) == (
        Path("/var/log/mtpolicyd"),
        Path("/etc/mtpolicyd.key"),
    )
    assert off.record_directory is off.record_key_file is None
