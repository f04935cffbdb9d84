"""`mtpolicyctl run` with the real services."""

import os
import pty
import signal
import subprocess
import time
from pathlib import Path

from tests.support.launching import READY, RUN, launched, read_until, signal_to, started_again
from tests.support.policy import AMERICAN, PolicyClient
from tests.support.services import Services, wait_until


def refusal_takes(port: int) -> float:
    """Seconds until foreign mail is refused, as it must be."""
    started = time.monotonic()
    with PolicyClient(port) as client:
        assert client.ask(client_address=AMERICAN).startswith("REJECT 5.7.1")
    return time.monotonic() - started


def test_it_says_what_an_admin_needs_and_ends_on_sigterm(tmp_path: Path) -> None:
    """The Postfix line, the metrics addresses, where the state is; exit code 0."""
    services = Services(tmp_path)
    with launched(services) as process:
        output = read_until(process, b"Metrics of quota").decode()
        assert f"check_policy_service {{ inet:127.0.0.1:{services.port}, timeout=10s" in output
        assert f"{tmp_path}/state" in output
        process.terminate()

        assert process.wait(20) == 0


def test_a_service_that_is_killed_is_named_and_started_again(tmp_path: Path) -> None:
    """And mail is checked again."""
    services = Services(tmp_path)
    with launched(services) as process:
        read_until(process, READY)
        signal_to(process.pid, "decision", signal.SIGKILL)
        read_until(process, b"decision was ended by SIGKILL; it is started again in ")
        services.wait_connected()

        assert refusal_takes(services.port) < 3


def test_a_second_one_with_the_same_settings_gives_up(tmp_path: Path) -> None:
    """It says why in one line, starts nothing, and the first one is not disturbed."""
    services = Services(tmp_path)
    with launched(services) as first:
        read_until(first, READY)
        second = subprocess.run(RUN, env=services.environment, capture_output=True, timeout=60)

        assert second.returncode == 1
        assert second.stdout.decode() == (
            f"univention-mtpolicyd: cannot listen on 127.0.0.1 port {services.port}: Address already in use\n"
        )
        assert refusal_takes(services.port) < 1


def test_one_whose_other_ports_are_in_use_gives_up(tmp_path: Path) -> None:
    """Its services say why; it is never ready."""
    first, second = Services(tmp_path / "first"), Services(tmp_path / "second")
    second.environment["MTPOLICYD_QUOTA_LISTEN"] = first.environment["MTPOLICYD_QUOTA_LISTEN"]
    with launched(first) as process:
        read_until(process, READY)
        ended = subprocess.run(RUN, env=second.environment, capture_output=True, timeout=60)

        assert ended.returncode == 1
        assert READY not in ended.stdout
        assert b"times without ever being ready; see its lines above" in ended.stdout
        assert refusal_takes(first.port) < 1


def test_code_in_the_current_directory_is_not_run(tmp_path: Path) -> None:
    """However it is called."""
    for name in ("quota", "chassis"):
        (tmp_path / f"{name}.py").write_text("import pathlib; pathlib.Path('was_run').touch()")
    services = Services(tmp_path)
    with launched(services, cwd=tmp_path) as process:
        read_until(process, READY)

    assert not (tmp_path / "was_run").exists()


def test_output_whose_reader_is_gone_changes_no_answer(tmp_path: Path) -> None:
    """`make run | head`: refusals are refused, services that die come back."""
    services = Services(tmp_path)
    with launched(services) as process:
        read_until(process, b"Metrics of quota")
        assert process.stdout is not None
        process.stdout.close()

        assert refusal_takes(services.port) < 1
        assert services.metric("decision", "mtpolicyd_log_lines_lost_total") == 1
        for name in ("decision", "frontend"):
            pid = signal_to(process.pid, name, signal.SIGKILL)
            wait_until(lambda name=name, pid=pid: started_again(process.pid, name, pid), what="it is back")
        services.wait_connected()
        assert refusal_takes(services.port) < 1


def test_output_that_nobody_reads_holds_nobody_up(tmp_path: Path) -> None:
    """Lines are lost and counted; mail without a login is answered at once, foreign mail is refused."""
    services = Services(tmp_path)
    with launched(services) as process:
        read_until(process, b"Metrics of quota")
        for _ in range(1500):
            with PolicyClient(services.port) as client:
                client.socket.sendall(b"garbage\n\n")
        started = time.monotonic()
        with PolicyClient(services.port) as client:
            assert client.ask(sasl_username="") == "DUNNO"
        assert time.monotonic() - started < 1
        assert refusal_takes(services.port) < 1
        assert services.metric("frontend", "mtpolicyd_log_lines_lost_total") > 0


def test_a_terminal_that_nobody_reads_holds_nobody_up(tmp_path: Path) -> None:
    """Its window hangs, or the connection to it: unlike a pipe it has room for the beginning of a line."""
    services = Services(tmp_path)
    master, slave = pty.openpty()
    try:
        with launched(services, stdout=slave) as process:
            wait_until(lambda: answers(services.port), seconds=20, what="it is up")
            services.wait_connected()
            for _ in range(1500):
                with PolicyClient(services.port) as client:
                    client.socket.sendall(b"garbage\n\n")
            with PolicyClient(services.port, timeout=5) as client:
                assert client.ask(sasl_username="") == "DUNNO"
            assert refusal_takes(services.port) < 1
            assert services.metric("frontend", "mtpolicyd_log_lines_lost_total") > 0
            process.terminate()
            assert process.wait(20) == 0
    finally:
        os.close(slave)
        os.close(master)


def test_a_full_disk_under_the_log_changes_no_answer(tmp_path: Path) -> None:
    """/dev/full is one."""
    services = Services(tmp_path)
    with Path("/dev/full").open("wb") as full:
        process = subprocess.Popen(RUN, env=services.environment, stdout=full)
        try:
            wait_until(lambda: answers(services.port), seconds=20, what="it is up")
            services.wait_connected()
            assert refusal_takes(services.port) < 1
        finally:
            process.terminate()
            assert process.wait(20) == 0


def answers(port: int) -> bool:
    try:
        with PolicyClient(port) as client:
            return client.ask(sasl_username="") == "DUNNO"
    except OSError:
        return False


def test_a_wrong_host_is_said_before_anything_is_started(tmp_path: Path) -> None:
    """With exit code 2."""
    environment = Services(tmp_path).environment | {"MTPOLICYD_HOST": "foo bar", "MTPOLICYD_RULES": ""}
    ended = subprocess.run(RUN, env=environment, capture_output=True, text=True, timeout=30)

    assert ended.returncode == 2
    assert "MTPOLICYD_HOST='foo bar' is not allowed ('foo bar' is no address or host name)" in ended.stderr
    assert "MTPOLICYD_RULES='' is not allowed (the list is empty" in ended.stderr
