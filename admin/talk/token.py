"""The token that quota wants to see before it changes anything, and who is changing it."""

import os
import pwd
import socket
from pathlib import Path

from admin.talk.exits import wrong
from chassis.config import load_or_exit, read_file
from chassis.settings import SettingsError
from quota.admin_token import TOKEN_FILE
from quota.settings import Settings


def token_path(settings: Settings) -> Path:
    """The file that the settings name, or that of the state directory."""
    return settings.admin_token_file or settings.statedir / TOKEN_FILE


def read_token() -> str:
    """The token. Raises EndError: there is none, or it cannot be read."""
    path = token_path(load_or_exit("quota", Settings).settings)
    try:
        token = read_file(path).text.strip()
    except SettingsError as error:
        raise wrong(
            f"{error}; changes need this token: quota makes it when it starts, for root and its own user"
        ) from error
    if not token or not token.isascii() or not token.isprintable():
        raise wrong(f"{path} holds no token")
    return token


def who() -> str:
    """`user@host`, for the audit log: whom sudo names, else whose process this is."""
    user = os.environ.get("SUDO_USER") or _login_name()
    return f"{user}@{socket.gethostname()}".encode("ascii", "backslashreplace").decode()


def _login_name() -> str:
    # Not getpass.getuser(): it believes USER, which su leaves as it was.
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user has no name
        return f"uid{os.getuid()}"
