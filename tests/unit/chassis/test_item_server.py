"""The answering end of a stream of items. All in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from chassis import item_server
from chassis.item_server import DRAIN_SECONDS, ItemServer, ItemStream
from tests.support.observed import Observed
from tests.support.streams import Aborted, Echo, FakeContext, Note
from tests.support.virtual_time import in_virtual_time, now, settle


class Answerer:
    """A server whose items the test answers by name; `batches` holds its items message by message."""

    def __init__(self) -> None:
        self.seen = Observed()
        self.server: ItemServer[Note, Echo] = ItemServer(
            handle=self._handle, unpack=lambda message: message, pack=tuple, metrics=self.seen.metrics
        )
        self.context = FakeContext()
        self.batches: list[list[str]] = []
        self._open: dict[str, tuple[ItemStream[Note, Echo], int]] = {}

    def _handle(self, items: Sequence[Note], stream: ItemStream[Note, Echo]) -> None:
        self.batches.append([item.name for item in items])
        self._open |= {item.name: (stream, item.id) for item in items}

    def answer(self, *names: str) -> None:
        """As a service does it: one reply at a time, perhaps several in one turn of the loop."""
        for name in names:
            stream, item_id = self._open[name]
            stream.reply(Echo(item_id, name))


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Answerer, "asyncio.Task[None]"]]:
    """One stream of one client, and the task that serves it."""
    parts = Answerer()
    task = asyncio.create_task(parts.server.serve(parts.context))
    await settle()
    try:
        yield parts, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def notes(*names: str, size: int = 1) -> list[Note]:
    """Items a, b, c ... with the ids 1, 2, 3 ..."""
    return [Note(name, id=ord(name) - ord("a") + 1, size=size) for name in names]


# Replies


@in_virtual_time
async def test_items_are_handled_message_by_message() -> None:
    """So that a service may work on them together."""
    async with serving() as (parts, _):
        parts.context.ask(*notes("a", "b"))
        parts.context.ask(*notes("c"))
        await settle()

        assert parts.batches == [["a", "b"], ["c"]]


@in_virtual_time
async def test_a_finished_answer_does_not_wait_for_an_unfinished_neighbour() -> None:
    """It leaves at once, whatever message its item came in."""
    async with serving() as (parts, _):
        parts.context.ask(*notes("a", "b", "c"))
        parts.context.ask(*notes("d"))
        await settle()
        for name in ("d", "b", "a"):
            parts.answer(name)
            await settle()

        assert parts.context.messages == [(Echo(4, "d"),), (Echo(2, "b"),), (Echo(1, "a"),)]
        assert now() == 0


@in_virtual_time
async def test_answers_of_one_turn_leave_together() -> None:
    """A batch that was worked off together is one message."""
    async with serving() as (parts, _):
        parts.context.ask(*notes("a", "b"))
        parts.context.ask(*notes("c"))
        await settle()
        parts.answer("c", "a", "b")
        await settle()

        assert parts.context.texts == [["c", "a", "b"]]


@in_virtual_time
async def test_answers_gather_while_a_message_is_being_written() -> None:
    """They leave together as the next one."""
    async with serving() as (parts, _):
        parts.context.ask(*notes("a", "b", "c"))
        await settle()
        parts.context.may_write.clear()
        for name in ("a", "b", "c"):
            parts.answer(name)
            await settle()
        parts.context.may_write.set()
        await settle()

        assert parts.context.texts == [["a"], ["b", "c"]]


@in_virtual_time
async def test_a_greeting_is_answered_by_a_message_without_items() -> None:
    """The service hears nothing of it."""
    async with serving() as (parts, _):
        parts.context.ask()
        await settle()

        assert parts.context.messages == [()]
        assert parts.batches == []


@in_virtual_time
async def test_a_greeting_is_answered_while_items_are_open() -> None:
    """A client that is not sure of the stream hears that somebody is there."""
    async with serving() as (parts, _):
        parts.context.ask(*notes("a"))
        parts.context.ask()
        await settle()

        assert parts.context.messages == [()]


@in_virtual_time
async def test_of_two_unanswered_items_with_one_id_the_first_stands() -> None:
    """Their answers could not be told apart; in one message and in two."""
    async with serving() as (parts, _):
        parts.context.ask(Note("first", id=1), Note("second", id=1))
        parts.context.ask(Note("third", id=1), Note("other", id=2))
        await settle()
        parts.answer("first")
        await settle()

        assert parts.batches == [["first"], ["other"]]
        assert parts.context.texts == [["first"]]


@in_virtual_time
async def test_an_id_may_be_used_again_after_its_answer() -> None:
    """It is a new item."""
    async with serving() as (parts, _):
        for name in ("first", "second"):
            parts.context.ask(Note(name, id=1))
            await settle()
            parts.answer(name)
            await settle()

        assert parts.context.texts == [["first"], ["second"]]


@in_virtual_time
async def test_a_second_answer_to_one_item_is_dropped() -> None:
    """The client gets exactly one."""
    async with serving() as (parts, _):
        parts.context.ask(*notes("a"))
        await settle()
        parts.answer("a", "a")
        await settle()
        parts.answer("a")
        await settle()

        assert parts.context.texts == [["a"]]


@in_virtual_time
async def test_a_service_may_answer_before_it_returns() -> None:
    """As for a question that needs nobody else."""
    seen = Observed()

    def answer_all(items: Sequence[Note], stream: ItemStream[Note, Echo]) -> None:
        for item in items:
            stream.reply(Echo(item.id, item.name))

    server: ItemServer[Note, Echo] = ItemServer(
        handle=answer_all, unpack=lambda message: message, pack=tuple, metrics=seen.metrics
    )
    context = FakeContext()
    context.ask(*notes("a", "b"))
    context.end()
    await server.serve(context)

    assert context.texts == [["a", "b"]]


@in_virtual_time
async def test_two_streams_do_not_mix() -> None:
    """Ids are unique within one stream only."""
    async with serving() as (parts, _):
        other = FakeContext()
        task = asyncio.create_task(parts.server.serve(other))
        parts.context.ask(Note("here", id=1))
        other.ask(Note("there", id=1))
        await settle()
        parts.answer("there")
        await settle()

        assert (parts.context.texts, other.texts) == ([], [["there"]])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# Bounds


@in_virtual_time
async def test_too_many_unanswered_items_stop_the_reading() -> None:
    """An answer lets the next message in."""
    async with serving() as (parts, _):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(item_server, "MAX_ITEMS_OPEN", 2)
            for name in ("a", "b", "c", "d"):
                parts.context.ask(*notes(name))
            await settle()
            assert parts.batches == [["a"], ["b"]]

            parts.answer("b")
            await settle()
            assert parts.batches == [["a"], ["b"], ["c"]]


@in_virtual_time
async def test_too_many_unanswered_bytes_stop_the_reading() -> None:
    """Until enough of them are answered."""
    async with serving() as (parts, _):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(item_server, "MAX_BYTES_OPEN", 100)
            parts.context.ask(*notes("a", "b", size=99))
            parts.context.ask(*notes("c", size=1))
            await settle()
            parts.answer("a")
            await settle()
            assert parts.batches == [["a", "b"], ["c"]]

            parts.context.ask(*notes("d"))
            await settle()
            assert parts.batches == [["a", "b"], ["c"]]

            parts.answer("b")
            await settle()
            assert parts.batches == [["a", "b"], ["c"], ["d"]]


@pytest.mark.parametrize(("bound", "most"), [("MAX_ITEMS_OPEN", 2), ("MAX_BYTES_OPEN", 200)])
@in_virtual_time
async def test_answers_that_the_client_does_not_read_stop_the_reading(bound: str, most: int) -> None:
    """It may not have a service answer for ever into its memory; whoever reads is read again."""
    async with serving() as (parts, _):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(item_server, bound, most)
            parts.context.may_write.clear()
            for name in ("a", "b", "c", "d"):
                parts.context.ask(*notes(name, size=100))
                await settle()
                if [name] in parts.batches:
                    parts.answer(name)
            await settle()
            assert parts.batches == [["a"], ["b"]]

            parts.context.may_write.set()
            await settle()
            assert parts.batches == [["a"], ["b"], ["c"], ["d"]]
            assert parts.context.texts == [["a"], ["b"]]


@pytest.mark.parametrize(("bound", "most"), [("MAX_ITEMS_OPEN", 2), ("MAX_BYTES_OPEN", 11)])
@in_virtual_time
async def test_what_has_been_answered_leaves_nothing_behind(bound: str, most: int) -> None:
    """However long the stream stands, its bounds concern what is open now."""
    async with serving() as (parts, _):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(item_server, bound, most)
            for _round in range(50):
                parts.context.ask(*notes("a", size=10))
                await settle()
                parts.answer("a")
                await settle()

        assert parts.context.texts == [["a"]] * 50


@in_virtual_time
async def test_one_stream_too_many_is_ended_at_once() -> None:
    """And counted; the others are not disturbed, and a free place is used again."""
    async with serving() as (parts, task):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(item_server, "MAX_STREAMS", 1)
            with pytest.raises(Aborted, match="RESOURCE_EXHAUSTED"):
                await parts.server.serve(FakeContext())
            assert parts.seen.sample("server_streams_refused_total") == 1
            assert parts.seen.sample("server_streams_open") == 1

            parts.context.end()
            await task
            another = FakeContext()
            another.end()
            await parts.server.serve(another)
    assert parts.seen.sample("server_streams_refused_total") == 1


# Ends


@in_virtual_time
async def test_a_client_that_asks_no_more_gets_the_answers_that_are_out() -> None:
    """Then its stream ends."""
    async with serving() as (parts, task):
        parts.context.ask(*notes("a", "b"))
        parts.context.end()
        await asyncio.sleep(1)
        parts.answer("a")
        await settle()
        assert task.done() is False

        parts.answer("b")
        await settle()
        assert task.done() is True
        assert parts.context.texts == [["a"], ["b"]]


@in_virtual_time
async def test_draining_reads_no_more_and_answers_what_was_read() -> None:
    """Every stream ends when its last item is answered."""
    async with serving() as (parts, task):
        parts.context.ask(*notes("a", "b"))
        await settle()
        draining = asyncio.create_task(parts.server.drain())
        await settle()
        parts.context.ask(*notes("c"))
        await asyncio.sleep(1)
        parts.answer("a")
        await asyncio.sleep(0.5)
        assert (draining.done(), task.done()) == (False, False)

        parts.answer("b")
        await settle()
        assert (draining.done(), task.done()) == (True, True)
        assert parts.batches == [["a", "b"]]
        assert parts.context.texts == [["a"], ["b"]]


@in_virtual_time
async def test_draining_without_unanswered_items_is_done_at_once() -> None:
    """With an idle stream, and without any."""
    async with serving() as (parts, task):
        await parts.server.drain()
        await settle()
        assert task.done() is True

        await parts.server.drain()
        assert now() == 0


@in_virtual_time
async def test_draining_does_not_wait_for_ever() -> None:
    """An item that nobody answers holds its stream up for DRAIN_SECONDS, and no longer than one look more."""
    async with serving() as (parts, task):
        parts.context.ask(*notes("a", "b"))
        await settle()
        parts.answer("a")
        await parts.server.drain()
        await settle()

        assert DRAIN_SECONDS <= now() <= DRAIN_SECONDS + 0.1
        assert task.done() is True
        assert parts.context.texts == [["a"]]


@in_virtual_time
async def test_a_write_that_is_under_way_is_finished_before_the_stream_ends() -> None:
    """The client has stopped reading for a moment; its answers are not lost."""
    async with serving() as (parts, task):
        parts.context.ask(*notes("a"))
        await settle()
        parts.context.may_write.clear()
        draining = asyncio.create_task(parts.server.drain())
        parts.answer("a")
        await asyncio.sleep(0.5)
        assert task.done() is False

        parts.context.may_write.set()
        await asyncio.sleep(0.5)
        assert parts.context.texts == [["a"]]
        assert (draining.done(), task.done()) == (True, True)


@in_virtual_time
async def test_the_last_answers_wait_for_the_write_that_is_under_way() -> None:
    """gRPC takes one message at a time."""
    async with serving() as (parts, task):
        parts.context.ask(*notes("a", "b"))
        await settle()
        parts.context.may_write.clear()
        parts.answer("a")
        await settle()
        parts.context.end()
        parts.answer("b")
        await asyncio.sleep(0.5)
        parts.context.may_write.set()
        await asyncio.sleep(0.5)

        assert parts.context.texts == [["a"], ["b"]]
        assert (task.done(), task.exception() if task.done() else None) == (True, None)


@in_virtual_time
async def test_a_client_that_never_reads_does_not_hold_up_the_end() -> None:
    """Its answers are lost after DRAIN_SECONDS."""
    async with serving() as (parts, task):
        parts.context.ask(*notes("a"))
        await settle()
        parts.context.may_write.clear()
        parts.answer("a")
        await settle()
        await asyncio.wait_for(parts.server.drain(), DRAIN_SECONDS + 0.1)
        await settle()

        assert task.done() is True
        assert parts.context.texts == []


@in_virtual_time
async def test_a_client_that_vanishes_takes_its_answers_with_it() -> None:
    """gRPC cancels the method; what is answered later goes nowhere, and nothing stays behind."""
    async with serving() as (parts, task):
        parts.context.ask(*notes("a"))
        await settle()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        parts.answer("a")
        await settle()

        assert parts.context.texts == []
        assert parts.seen.sample("server_streams_open") == 0


@in_virtual_time
async def test_an_error_of_the_service_ends_the_stream_and_is_not_hidden() -> None:
    """What was read before is answered; gRPC tells the client and the log."""
    async with serving() as (parts, task):
        parts.context.ask(*notes("a"))
        await settle()

        def fail(items: Sequence[Note], stream: ItemStream[Note, Echo]) -> None:
            raise LookupError("a bug")

        parts.server.handle = fail
        parts.context.ask(*notes("b"))
        await settle()
        parts.answer("a")
        with pytest.raises(LookupError, match="a bug"):
            await task

        assert parts.context.texts == [["a"]]
        assert parts.seen.sample("server_streams_open") == 0


@in_virtual_time
async def test_the_metrics_tell_streams_and_messages() -> None:
    """Greetings are messages too."""
    async with serving() as (parts, task):
        sample = parts.seen.sample
        assert sample("server_streams_open") == 1
        assert parts.seen.samples("server_messages_total") == {("received",): 0, ("sent",): 0}

        parts.context.ask()
        await settle()
        parts.context.ask(*notes("a", "b"))
        await settle()
        parts.answer("a", "b")
        parts.context.end()
        await task
        assert sample("server_streams_open") == 0
        assert parts.seen.samples("server_messages_total") == {("received",): 2, ("sent",): 2}
