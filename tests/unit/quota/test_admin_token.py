"""The token, and how often one may be tried."""

import stat
from pathlib import Path

import pytest

from quota.admin_token import (
    SECONDS_A_TRY,
    TOKEN_BYTES,
    WRONG_TRIES,
    Bucket,
    TokenGuard,
    Try,
    make_token,
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def token(tmp_path: Path) -> bytes:
    return make_token(tmp_path).read_bytes().strip()


def test_a_token_is_made_once(tmp_path: Path) -> None:
    """Long, of printable characters, for its owner alone; the next start finds it."""
    path = make_token(tmp_path)
    token = path.read_text()

    assert path == tmp_path / "admin.token"
    assert len(token.strip()) >= TOKEN_BYTES
    assert token.strip().isascii()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert make_token(tmp_path).read_text() == token
    assert [file.name for file in tmp_path.iterdir()] == ["admin.token"]


def test_what_a_dead_start_left_does_no_harm(tmp_path: Path) -> None:
    """A token is whole, or not there."""
    (tmp_path / "admin.token.new").write_text("half")

    assert len(make_token(tmp_path).read_text()) > TOKEN_BYTES
    assert [file.name for file in tmp_path.iterdir()] == ["admin.token"]


def test_tokens_are_compared_in_constant_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, token: bytes
) -> None:
    """By what is made for that, and by nothing else: it alone says what is right."""
    compared = []
    monkeypatch.setattr("hmac.compare_digest", lambda *both: compared.append(both))

    assert TokenGuard(lambda: tmp_path / "admin.token").check(token) is Try.WRONG
    assert compared == [(token, token)]


def test_the_right_token_is_right(tmp_path: Path, token: bytes) -> None:
    """And nothing else is; a new one in the file is the right one from then on."""
    guard = TokenGuard(lambda: tmp_path / "admin.token")
    tried = [guard.check(of) for of in (token, b"", token[:-1], token + b"x", b"\xff")]
    (tmp_path / "admin.token").write_text("another-long-token\n")

    assert tried == [Try.RIGHT] + [Try.WRONG] * 4
    assert guard.check(b"another-long-token") is Try.RIGHT


@pytest.mark.parametrize("content", [None, "", "\n", "guessed"])
def test_without_a_token_nothing_is_right(tmp_path: Path, content: str | None) -> None:
    """An empty file is not the empty token, and a short one could be guessed."""
    if content is not None:
        (tmp_path / "token").write_text(content)

    assert TokenGuard(lambda: tmp_path / "token").check((content or "").strip().encode()) is Try.NO_TOKEN


def test_wrong_tokens_are_told_at_a_bounded_rate(tmp_path: Path, token: bytes) -> None:
    """The right one passes meanwhile, and uses up nothing."""
    clock = Clock()
    guard = TokenGuard(lambda: tmp_path / "admin.token", clock)
    right = [guard.check(token) for _ in range(WRONG_TRIES * 2)]
    wrong = [guard.check(b"x") for _ in range(WRONG_TRIES + 1)]
    in_the_flood = guard.check(token)
    clock.now += SECONDS_A_TRY

    assert {*right, in_the_flood} == {Try.RIGHT}
    assert wrong == [Try.WRONG] * WRONG_TRIES + [Try.TOO_MANY]
    assert [guard.check(b"x"), guard.check(b"x"), guard.check(token)] == [Try.WRONG, Try.TOO_MANY, Try.RIGHT]


def test_a_token_that_is_missing_is_told_at_that_rate_too(tmp_path: Path) -> None:
    """Nobody fills quota's log with it."""
    guard = TokenGuard(lambda: tmp_path / "token", Clock())

    assert [guard.check(b"x") for _ in range(WRONG_TRIES + 1)] == [Try.NO_TOKEN] * WRONG_TRIES + [
        Try.TOO_MANY
    ]


def test_a_bucket_is_never_fuller_than_full() -> None:
    """A quiet night saves nothing up."""
    clock = Clock()
    bucket = Bucket(2, 10, clock)
    clock.now = 1000

    assert [bucket.take() for _ in range(3)] == [True, True, False]
