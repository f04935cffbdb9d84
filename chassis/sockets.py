"""The path of a UNIX socket, made free for a new listener."""

import socket
import stat
from pathlib import Path

from chassis.errors import StartError


def free_socket_path(path: str) -> None:
    """Remove the socket that an earlier run has left; nothing else is ever removed.

    Raises:
        StartError: somebody listens there, or what stands there is no socket.
    """
    place = Path(path)
    try:
        if not stat.S_ISSOCK(place.lstat().st_mode):
            raise StartError(f"{path} exists and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            place.unlink(missing_ok=True)
            return
        except OSError as error:
            raise StartError(f"cannot listen on {path}: {error.strerror or error}") from error
    raise StartError(f"cannot listen on {path}: is another instance running?")
