"""`mtpolicyctl run`: the services as processes, restarted when they die, stopped in order.

Each process is `python -P -m NAME`, so that code in the current directory is not run for it, in a session of
its own, so that Ctrl-C reaches the launcher alone, which stops the services one by one: first whoever asks,
last whoever is asked.

The sockets on which a service listens for clients from outside are opened here and passed on by systemd's
protocol (see sockets.py): while the service restarts, connections wait instead of being refused.
"""

import asyncio
import ctypes
import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import aiohttp

from chassis.errors import EXIT_START, StartError
from chassis.logs import LineSink
from chassis.settings import EXIT_SETTINGS, SERVICES, ServiceSettings
from chassis.sockets import FIRST_PASSED, inherited, listening

RESTART_FIRST_SECONDS = 0.2
RESTART_MOST_SECONDS = 10.0
# A service that ran so long was well: the next restart is quick again.
WELL_AFTER_SECONDS = 30.0
START_TRIES = 6
STOP_SECONDS = 12.0
READY_SECONDS = 20.0
_PR_SET_PDEATHSIG = 1  # prctl(2)


class Launcher:
    """Runs the services. Args: settings: each service's, by its name."""

    def __init__(self, settings: Mapping[str, ServiceSettings]) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self._stopping: set[str] = set()
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._held: dict[str, list[socket.socket]] = {}
        self._exit_code = 0
        self._was_ready = False

    async def run(self) -> int:
        """Run until SIGINT or SIGTERM; returns the exit code."""
        with ExitStack() as sockets:
            try:
                self._hold(sockets)
            except StartError as error:
                _say(str(error))
                return EXIT_START
            return await self._run(sockets)

    def _hold(self, stack: ExitStack) -> None:
        """Take the sockets that were passed to the launcher itself, or open those of the settings."""
        passed = [stack.enter_context(sock) for sock in inherited()]
        for name in SERVICES:
            where = self._settings[name].listeners
            if where is not None:
                self._held[name] = passed or stack.enter_context(listening(where))

    async def _run(self, sockets: ExitStack) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        keepers = {name: asyncio.create_task(self._keep(name)) for name in SERVICES}
        for keeper in keepers.values():
            keeper.add_done_callback(self._kept)
        greeting = asyncio.create_task(self._greet())
        await self._stop.wait()
        greeting.cancel()
        # From now on nobody comes back for whoever would wait.
        sockets.close()
        for name in reversed(SERVICES):
            self._stopping.add(name)
            await self._end(name)
            keepers[name].cancel()
        await asyncio.gather(greeting, *keepers.values(), return_exceptions=True)
        return self._exit_code

    def _kept(self, keeper: asyncio.Task[None]) -> None:
        """A keeper that ends by a bug keeps nobody: better to stop, for whoever has started us to see."""
        if not keeper.cancelled() and (error := keeper.exception()) is not None:
            _say(f"stopping because of an internal error: {error!r}")
            self._exit_code = EXIT_START
            self._stop.set()

    async def _keep(self, name: str) -> None:
        pause = RESTART_FIRST_SECONDS
        tries = 0
        while name not in self._stopping:
            started = time.monotonic()
            ending, code = await self._run_once(name)
            if name in self._stopping:
                return
            if code == EXIT_SETTINGS:
                # It has said why, and a restart would read the same settings.
                self._exit_code = EXIT_SETTINGS
                self._stop.set()
                return
            tries += 1
            if code == 0:
                # Somebody has stopped it in order, to have it started anew.
                pause = RESTART_FIRST_SECONDS
            if not self._was_ready and tries == START_TRIES:
                # What cannot start at all (a port in use, a broken file) does not heal by itself.
                _say(f"{name} {ending}, {tries} times without ever being ready; see its lines above")
                self._exit_code = EXIT_START
                self._stop.set()
                return
            pause = RESTART_FIRST_SECONDS if time.monotonic() - started > WELL_AFTER_SECONDS else pause
            _say(f"{name} {ending}; it is started again in {pause:.1f} s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, RESTART_MOST_SECONDS)

    async def _run_once(self, name: str) -> tuple[str, int | None]:
        """How one process of a service ended, in words and as its exit code."""
        try:
            process = await self._start(name)
        except OSError as error:  # the system may be short of processes or memory for a moment
            return f"cannot be started ({error.strerror})", None
        self._processes[name] = process
        code = await process.wait()
        return _ending(code), code

    async def _start(self, name: str) -> asyncio.subprocess.Process:
        held = self._held.get(name, [])
        command = (sys.executable, "-P", "-m", name)
        if not held:
            return await asyncio.create_subprocess_exec(
                *command, start_new_session=True, preexec_fn=_prepare_child
            )
        numbers = range(FIRST_PASSED, FIRST_PASSED + len(held))
        with ExitStack() as stack:
            # In the child these numbers become the sockets. Here they are occupied, by whatever it may be, so
            # that neither a copy of a socket nor what subprocess itself opens has one of them.
            _occupy(numbers, stack)
            copies = [fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, numbers.stop) for sock in held]
            for copy in copies:
                stack.callback(os.close, copy)

            def prepare() -> None:
                _prepare_child()
                for copy, number in zip(copies, numbers, strict=True):
                    os.dup2(copy, number)
                os.environ["LISTEN_FDS"] = str(len(numbers))
                os.environ["LISTEN_PID"] = str(os.getpid())

            return await asyncio.create_subprocess_exec(
                *command, start_new_session=True, preexec_fn=prepare, pass_fds=numbers
            )

    async def _end(self, name: str) -> None:
        process = self._processes.get(name)
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            _say(f"{name} did not stop within {STOP_SECONDS:.0f} s and is killed")
            process.kill()
            await process.wait()

    async def _greet(self) -> None:
        """Once all services answer, say what an admin needs next; say who does not answer."""
        deadline = time.monotonic() + READY_SECONDS
        waiting = list(SERVICES)
        while waiting and time.monotonic() < deadline:
            waiting = [name for name in waiting if not await self._is_ready(name)]
            await asyncio.sleep(0.05 if waiting else 0)
        if waiting:
            _say(f"not ready after {READY_SECONDS:.0f} s: {', '.join(waiting)}; see the lines above")
            return
        self._was_ready = True
        lines = [line for name in reversed(SERVICES) for line in self._settings[name].banner()]
        _say("ready. Ctrl-C stops it.", *_columns(lines))

    def _is_ours(self, name: str, pid: str) -> bool:
        process = self._processes.get(name)
        return process is not None and pid.strip() == str(process.pid)

    async def _is_ready(self, name: str) -> bool:
        """Whether our own process is up: another one that answers on its port does not count."""
        address = self._settings[name].metrics_endpoint
        connector = aiohttp.UnixConnector(address.path) if address.path else aiohttp.TCPConnector()
        url = "http://localhost/readyz" if address.path else f"http://{address}/readyz"
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(1)) as session,
                session.get(url) as answer,
            ):
                return answer.status == 200 and self._is_ours(name, await answer.text())
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False


def _prepare_child() -> None:
    """If the launcher is killed, its services end too, instead of holding the ports."""
    # A service that is still being loaded takes no SIGHUP, which is inherited.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _occupy(numbers: range, stack: ExitStack) -> None:
    """Leave none of these descriptors free until the stack is left."""
    while (descriptor := os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)) < numbers.stop:
        stack.callback(os.close, descriptor)
    os.close(descriptor)


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal has no name
        return f"was ended by signal {-code}"


def _columns(lines: Sequence[tuple[str, str]]) -> list[str]:
    width = max(len(label) for label, _ in lines)
    return [f"  {label:<{width}}  {text}" for label, text in lines]


def _say(*lines: str) -> None:
    out = LineSink(sys.stdout)
    for line in lines:
        out.msg(f"univention-mtpolicyd: {line}" if line is lines[0] else line)
