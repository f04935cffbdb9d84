"""Publishers of country data and the account of one of them."""

import os
from base64 import b64encode
from datetime import date
from pathlib import Path

import pytest

from decision.geo_providers import PROVIDERS, AccountError, authorization_of, provider_of
from decision.settings import COUNTRY_FILES, Settings

KEY = "s3cr3tKey_mmk"


def with_account(directory: Path, account_id: bytes = b"123456\n", key: bytes = KEY.encode()) -> Settings:
    """Settings that name two files with these contents."""
    (directory / "id").write_bytes(account_id)
    (directory / "key").write_bytes(key)
    return Settings(
        maxmind_account_id_file=str(directory / "id"), maxmind_license_key_file=str(directory / "key")
    )


def test_the_addresses_are_those_that_the_publishers_document() -> None:
    """One of MaxMind; this month's of DB-IP, and the one before it."""
    today = date(2026, 1, 31)

    assert PROVIDERS["maxmind"].paths(today) == ("/geoip/databases/GeoLite2-Country/download?suffix=tar.gz",)
    assert PROVIDERS["dbip"].paths(today) == (
        "/free/dbip-country-lite-2026-01.mmdb.gz",
        "/free/dbip-country-lite-2025-12.mmdb.gz",
    )
    assert [one.base_url for one in PROVIDERS.values()] == [
        "https://download.maxmind.com",
        "https://download.db-ip.com",
    ]


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
def test_decision_looks_for_files_of_these_names(provider: object) -> None:
    """In geoip_directory."""
    assert Path(getattr(provider, "file_name")).match(COUNTRY_FILES)  # noqa: B009


def test_without_a_setting_the_account_decides(tmp_path: Path) -> None:
    """Whoever has one wants MaxMind's file."""
    settings = with_account(tmp_path)

    assert provider_of(Settings()) == "dbip"
    assert provider_of(settings) == "maxmind"
    assert provider_of(settings.model_copy(update={"geo_update_provider": "dbip"})) == "dbip"
    assert provider_of(Settings(geo_update_provider="maxmind")) == "maxmind"


@pytest.mark.parametrize("field", ["maxmind_account_id_file", "maxmind_license_key_file"])
def test_half_an_account_is_a_mistake(field: str) -> None:
    """Not a reason to take another publisher in silence."""
    settings = Settings.model_validate({field: "/etc/one"})
    for ask in (provider_of, authorization_of):
        with pytest.raises(AccountError, match="only one is set"):
            ask(settings)


def test_the_account_is_read_from_the_files(tmp_path: Path) -> None:
    """Without the line end that an editor leaves."""
    settings = with_account(tmp_path, key=f" {KEY} \r\n".encode())

    assert authorization_of(settings) == "Basic " + b64encode(f"123456:{KEY}".encode()).decode()
    assert authorization_of(Settings()) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"account 123",
        KEY.encode() + b"\nmore",
        b"user:" + KEY.encode(),
        b"k\xc3\xa9y",
        b"\0",
    ],
)
def test_a_file_that_holds_something_else_is_refused_without_its_content(
    tmp_path: Path, content: bytes
) -> None:
    """The line names the file."""
    with pytest.raises(AccountError) as caught:
        authorization_of(with_account(tmp_path, key=content))
    assert str(caught.value) == (
        f"{tmp_path}/key does not hold one account id or licence key, and nothing else"
    )


def test_a_file_that_is_too_large_for_a_secret_is_refused(tmp_path: Path) -> None:
    """Whatever it holds."""
    with pytest.raises(AccountError, match=r"/key is larger than 1024 bytes$"):
        authorization_of(with_account(tmp_path, key=b"k" * 1025))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing one, a directory, a FIFO that nobody writes to."""
    settings = with_account(tmp_path)
    key = tmp_path / "key"
    key.unlink()
    with pytest.raises(AccountError, match=r"key cannot be read: No such file"):
        authorization_of(settings)
    os.mkfifo(key)
    with pytest.raises(AccountError, match=r"key is no regular file"):
        authorization_of(settings)
    key.unlink()
    key.mkdir()
    with pytest.raises(AccountError, match=r"key"):
        authorization_of(settings)
