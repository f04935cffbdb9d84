"""What our services are started with, and what is read of them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bench.ours import SERVICES, environment, metric, noon_zone
from chassis.settings import registered

PORTS = {name: number for number, name in enumerate(["postfix", "decision", "quota"], 1)} | {
    f"{name} metrics": number for number, name in enumerate(SERVICES, 11)
}


@pytest.mark.parametrize("hour", range(24))
def test_it_is_noon_in_the_zone_of_a_run(hour: int) -> None:
    """Whenever it is begun: no midnight comes within eleven hours."""
    now = datetime(2026, 11, 23, hour, 59, tzinfo=UTC)

    there = now.astimezone(ZoneInfo(noon_zone(now)))

    assert there.hour == 12
    assert (there + timedelta(hours=11)).date() == there.date()


def test_the_environment_is_one_that_the_services_accept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without what the machine has set; what cannot be checked is deferred."""
    monkeypatch.setenv("MTPOLICYD_RULES", "quota")
    env = environment(tmp_path, threshold=7, ports=PORTS, zone="Etc/GMT-1")
    assert "MTPOLICYD_RULES" not in env
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MTPOLICYD_RULES")

    settings = {name: settings_class().model_dump() for name, settings_class in registered().items()}

    assert settings["frontend"]["on_failure"] == "defer"
    assert settings["decision"]["threshold"] == 7
    assert settings["quota"]["statedir"] == tmp_path


def test_a_metric_is_summed_over_its_other_labels() -> None:
    """Only samples of this name and these labels."""
    text = """\
# TYPE mtpolicyd_stream_items counter
mtpolicyd_stream_items_total{direction="sent",peer="quota"} 3.0
mtpolicyd_stream_items_total{direction="sent",peer="decision"} 4.0
mtpolicyd_stream_items_total{direction="received",peer="quota"} 8.0
"""

    assert metric(text, "mtpolicyd_stream_items_total", direction="sent") == 7
    assert metric(text, "mtpolicyd_stream_items_total") == 15
    assert metric(text, "mtpolicyd_other_total") == 0
