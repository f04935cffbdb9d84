"""Coroutines that run beside the others."""

import asyncio

import pytest

from chassis.tasks import background
from tests.support.virtual_time import in_virtual_time, now, settle


class Job:
    """Notes its steps; `end` makes it end by itself."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.deaths: list[str] = []

    async def run(self) -> None:
        self.steps.append("begun")
        try:
            await self.end
        finally:
            await asyncio.sleep(1)
            self.steps.append("ended")


@in_virtual_time
async def test_it_runs_until_it_is_left() -> None:
    """Leaving waits for its last steps, and is no death."""
    job = Job()
    async with background(job.run(), died=job.deaths.append):
        await settle()
        assert job.steps == ["begun"]

    assert job.steps == ["begun", "ended"]
    assert job.deaths == []
    assert now() == 1


@in_virtual_time
async def test_an_error_of_it_is_told_at_once() -> None:
    """With the coroutine and the error; leaving is then as quiet as ever."""
    job = Job()
    async with background(job.run(), died=job.deaths.append):
        await settle()
        job.end.set_exception(ValueError("broken"))
        await asyncio.sleep(2)
        (death,) = job.deaths

    assert "Job.run" in death
    assert death.endswith("ended: ValueError('broken')")
    assert len(job.deaths) == 1


@in_virtual_time
async def test_an_end_without_an_error_is_a_death_too() -> None:
    """It should have run as long as its service."""
    job = Job()
    async with background(job.run(), died=job.deaths.append):
        await settle()
        job.end.set_result(None)
        await asyncio.sleep(2)
        (death,) = job.deaths

    assert death.endswith("ended: None")


@in_virtual_time
async def test_an_error_around_it_ends_it_and_passes_on() -> None:
    """Nothing is left running when a service fails to start."""
    job = Job()

    async def start() -> None:
        async with background(job.run(), died=job.deaths.append):
            await settle()
            raise LookupError("start failed")

    with pytest.raises(LookupError, match="start failed"):
        await start()
    assert job.steps == ["begun", "ended"]
    assert job.deaths == []
