"""The accounts: a small number for a long name, and what an admin has set for it."""

import sqlite3

from quota.store.overrides import Standing

ACCOUNT_CACHE = 16384
CACHED_NAME_BYTES = 512  # name and login together; longer ones are looked up each time

_ACCOUNT = "SELECT id, login, overrides FROM account WHERE name = ?"
_NEW_ACCOUNT = "INSERT INTO account (name, login) VALUES (?, ?)"
_LOGIN = "UPDATE account SET login = ? WHERE id = ?"


class AccountTable:
    """The table of the store that `db` is the writing connection of; used within its transactions."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        # name -> (id, login, what is set), emptied when full
        self._known: dict[bytes, tuple[int, bytes, Standing | None]] = {}

    def of(self, name: bytes, login: bytes = b"") -> tuple[int, Standing | None]:
        """Id and what is set; made if it is missing. Its login, if given, is brought up to date."""
        known = self._known.get(name)
        if known is not None and (known[1] == login or not login):
            return known[0], known[2]
        if known is None:
            row = self._db.execute(_ACCOUNT, (name,)).fetchone()
            known = row and (row[0], row[1], None if row[2] is None else Standing.read(row[2]))
        if known is None:
            account = self._db.execute(_NEW_ACCOUNT, (name, login or name)).lastrowid
            assert account is not None
            known = (account, login or name, None)
        elif login and login != known[1]:
            self._db.execute(_LOGIN, (login, known[0]))
            known = (known[0], login, known[2])
        if len(self._known) >= ACCOUNT_CACHE:
            self._known.clear()
        if len(name) + len(known[1]) <= CACHED_NAME_BYTES:
            self._known[name] = known
        else:
            self._known.pop(name, None)
        return known[0], known[2]

    def changed(self, name: bytes) -> None:
        """What is set for it, or whether it is there at all, has to be read again."""
        self._known.pop(name, None)

    def forget(self) -> None:
        """What was made has been rolled back."""
        self._known.clear()
