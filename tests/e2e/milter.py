"""A milter that adds one recipient to each mail, as far as Postfix needs the protocol (libmilter/mfdef.h)."""

import socketserver
import struct
from collections.abc import Callable

from tests.support.loopback import LoopbackServer

_ADD_RECIPIENT = 0x04  # SMFIF_ADDRCPT
_SILENT = b"DAQK"  # macros, abort, quit: no reply


class Milter(LoopbackServer):
    """Listens on a loopback port while the context is entered.

    Args:
        added: the recipient that each mail gets.
        saw: is called with the letter of each command, before it is answered.
    """

    def __init__(self, added: str, saw: Callable[[bytes], None]) -> None:
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while head := self.rfile.read(4):
                    (length,) = struct.unpack("!I", head)
                    command = self.rfile.read(length)[:1]
                    saw(command)
                    if command == b"O":  # the version, the actions, no event left out
                        self._say(b"O" + struct.pack("!III", 6, _ADD_RECIPIENT, 0))
                    elif command not in _SILENT:
                        if command == b"E":
                            self._say(f"+<{added}>\0".encode())
                        self._say(b"c")

            def _say(self, reply: bytes) -> None:
                self.wfile.write(struct.pack("!I", len(reply)) + reply)

        super().__init__(Handler)
