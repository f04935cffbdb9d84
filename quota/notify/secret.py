"""Reads a secret when it is needed, so that one that was renewed is used at once."""

import asyncio
from pathlib import Path

from chassis.config import read_file
from chassis.settings import SettingsError
from quota.notify.interface import NotDeliveredError


async def read_secret(path: Path, *, at_least_bytes: int = 1) -> str:
    """The file's text without blanks around it. Raises NotDeliveredError, which does not repeat it."""
    try:
        text = (await asyncio.to_thread(read_file, path)).text.strip()
    except SettingsError as error:
        raise NotDeliveredError(str(error)) from error
    if len(text.encode()) < at_least_bytes:
        raise NotDeliveredError(f"the secret in {path} has less than {at_least_bytes} bytes")
    return text
