"""The asking end of a stream of items: batching, deadlines, outages. All in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis import item_client
from chassis.item_client import (
    ANNOUNCE_AFTER_SECONDS,
    PATIENCE_SECONDS,
    STALL_SECONDS,
    SWEEP_SECONDS,
    ItemClient,
    Unanswered,
)
from tests.support.observed import Observed
from tests.support.streams import Echo, Note, Peer
from tests.support.virtual_time import in_virtual_time, now, settle

TIMEOUT = 3.0
# The step of a clock that a comparison of fractions may be off by.
TICK = 0.001


class Asker:
    """A client, its peer, and what became of each item: `outcomes[name]` lists every call of `done`."""

    def __init__(self) -> None:
        self.peer = Peer()
        self.seen = Observed()
        self.client: ItemClient[Note, Echo] = ItemClient(
            peer="neighbour",
            open_stream=self.peer.open_stream,
            pack=tuple,
            unpack=lambda message: message,
            log=self.seen.log.logger,
            metrics=self.seen.metrics,
        )
        self.outcomes: dict[str, list[str]] = {}

    def ask(
        self,
        *names: str,
        timeout: float = TIMEOUT,
        resend: bool = False,
        size: int = 1,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Submit one item for each name; `then` is called when one is done, after noting its outcome."""
        for name in names:
            outcomes = self.outcomes.setdefault(name, [])

            def done(answer: Echo | Unanswered, outcomes: list[str] = outcomes) -> None:
                outcomes.append(str(answer) if isinstance(answer, Unanswered) else "answered")
                then()

            self.client.submit(Note(name, size=size), timeout=timeout, done=done, resend=resend)

    @property
    def sent(self) -> list[list[str]]:
        """The messages on the newest stream, without its greeting."""
        return self.peer.call.names[1:]

    def answer(self, *names: str) -> None:
        self.peer.call.reply(*names)


@asynccontextmanager
async def asker(*, greeted: bool = True) -> AsyncIterator[Asker]:
    """A client with its first stream; `greeted`: the peer has said that it is there."""
    parts = Asker()
    engine = asyncio.create_task(parts.client.run())
    await settle()
    if greeted:
        parts.peer.call.greet()
        await settle()
    try:
        yield parts
    finally:
        engine.cancel()
        await asyncio.gather(engine, return_exceptions=True)


# Batching


@in_virtual_time
async def test_a_new_stream_begins_with_a_greeting() -> None:
    """A message without items; the peer's answer to it makes the stream count as up."""
    async with asker(greeted=False) as parts:
        assert parts.peer.call.names == [[]]
        assert parts.client.up is False

        parts.peer.call.greet()
        await settle()
        assert parts.client.up is True


@in_virtual_time
async def test_an_item_on_an_idle_stream_goes_out_at_once() -> None:
    """No timer stands between the asking and the sending, the first time and later."""
    async with asker() as parts:
        for name in ("a", "b"):
            parts.ask(name)
            await settle()
            parts.answer(name)
            await settle()

        assert parts.sent == [["a"], ["b"]]
        assert now() == 0


@in_virtual_time
async def test_items_that_are_asked_together_leave_together() -> None:
    """One turn of the loop is one message."""
    async with asker() as parts:
        parts.ask("a", "b", "c")
        await settle()

        assert parts.sent == [["a", "b", "c"]]


@in_virtual_time
async def test_items_wait_for_the_greeting_to_be_sent_but_not_for_its_answer() -> None:
    """A new stream is used as soon as it can be written to."""
    async with asker(greeted=False) as parts:
        parts.ask("a")
        await settle()

        assert parts.peer.call.names == [[], ["a"]]


@in_virtual_time
async def test_items_gather_while_a_message_is_under_way() -> None:
    """The first reply sends them all as the next message."""
    async with asker() as parts:
        parts.ask("a")
        await settle()
        parts.ask("b")
        await settle()
        parts.ask("c")
        await settle()
        assert parts.sent == [["a"]]

        parts.answer("a")
        await settle()
        assert parts.sent == [["a"], ["b", "c"]]
        assert now() == 0


@in_virtual_time
async def test_one_reply_of_a_message_opens_the_gate() -> None:
    """The others of that message may take longer."""
    async with asker() as parts:
        parts.ask("a", "b")
        await settle()
        parts.ask("c")
        parts.answer("b")
        await settle()

        assert parts.sent == [["a", "b"], ["c"]]
        assert parts.outcomes == {"a": [], "b": ["answered"], "c": []}


@in_virtual_time
async def test_the_gate_opens_without_a_reply_after_a_stall() -> None:
    """One item that waits long does not hold back its neighbours for longer than STALL_SECONDS."""
    async with asker() as parts:
        parts.ask("slow")
        await settle()
        parts.ask("next")
        await asyncio.sleep(STALL_SECONDS - TICK)
        assert parts.sent == [["slow"]]

        await asyncio.sleep(2 * TICK)
        assert parts.sent == [["slow"], ["next"]]


@in_virtual_time
async def test_a_message_has_a_stall_of_its_own() -> None:
    """The time of the one before it, which was answered, does not open the gate."""
    async with asker() as parts:
        parts.ask("a")
        await asyncio.sleep(STALL_SECONDS - 2 * TICK)
        parts.answer("a")
        parts.ask("b")
        await settle()
        parts.ask("c")
        await asyncio.sleep(STALL_SECONDS - TICK)
        assert parts.sent == [["a"], ["b"]]

        await asyncio.sleep(2 * TICK)
        assert parts.sent == [["a"], ["b"], ["c"]]


@in_virtual_time
async def test_after_a_stall_without_other_items_the_stream_is_idle() -> None:
    """The next item goes out at once."""
    async with asker() as parts:
        parts.ask("slow")
        await asyncio.sleep(STALL_SECONDS + TICK)
        parts.ask("next")
        await settle()

        assert parts.sent == [["slow"], ["next"]]


@in_virtual_time
async def test_the_answer_to_a_greeting_does_not_open_the_gate() -> None:
    """It says that the peer is there, not that it has worked off anything."""
    async with asker(greeted=False) as parts:
        parts.ask("a")
        await settle()
        parts.ask("b")
        parts.peer.call.greet()
        await settle()

        assert parts.sent == [["a"]]


@in_virtual_time
async def test_a_write_that_is_held_back_lets_items_gather() -> None:
    """gRPC's flow control delays the next message, and nothing is lost or doubled."""
    async with asker() as parts:
        parts.peer.call.may_write.clear()
        parts.ask("a")
        await asyncio.sleep(3 * STALL_SECONDS)
        parts.ask("b", "c")
        await asyncio.sleep(3 * STALL_SECONDS)
        parts.peer.call.may_write.set()
        await settle()

        assert parts.sent == [["a"], ["b", "c"]]


@in_virtual_time
async def test_a_message_has_a_bounded_number_of_items() -> None:
    """The rest follows as the next message, in order."""
    async with asker() as parts:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(item_client, "MAX_ITEMS_PER_MESSAGE", 2)
            parts.ask("a", "b", "c", "d", "e")
            await asyncio.sleep(3 * STALL_SECONDS)

        assert parts.sent == [["a", "b"], ["c", "d"], ["e"]]


@in_virtual_time
async def test_a_message_has_a_bounded_number_of_bytes() -> None:
    """The item that reaches the bound is the last one in its message."""
    async with asker() as parts:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(item_client, "MAX_BYTES_PER_MESSAGE", 100)
            parts.ask("a", "b", "c", "d", size=60)
            await asyncio.sleep(2 * STALL_SECONDS)

        assert parts.sent == [["a", "b"], ["c", "d"]]


# Replies and deadlines


@in_virtual_time
async def test_replies_come_by_id_in_any_order_and_grouping() -> None:
    """Each finds its own item."""
    async with asker() as parts:
        answers: dict[str, Echo | Unanswered] = {}
        for name in ("a", "b", "c"):
            parts.client.submit(
                Note(name),
                timeout=TIMEOUT,
                done=lambda answer, name=name: answers.update({name: answer}),  # type: ignore[misc]
                resend=False,
            )
        await settle()
        parts.answer("c", "a")
        parts.answer("b")
        await settle()

        assert answers == {"c": Echo(3, "c"), "a": Echo(1, "a"), "b": Echo(2, "b")}


@in_virtual_time
async def test_replies_that_nobody_waits_for_are_ignored() -> None:
    """Twice the same, one too late, one to an item that never was."""
    async with asker() as parts:
        parts.ask("a", "late", timeout=1)
        await settle()
        parts.answer("a", "a")
        await settle()
        parts.answer("a")
        await asyncio.sleep(2)
        parts.answer("late")
        parts.peer.call.put((Echo(999),))
        await settle()

        assert parts.outcomes == {"a": ["answered"], "late": ["deadline"]}


@in_virtual_time
async def test_an_item_comes_back_at_its_deadline() -> None:
    """Not before it, and at most one sweep after it."""
    async with asker() as parts:
        parts.ask("a", timeout=1)
        await asyncio.sleep(1 - TICK)
        assert parts.outcomes == {"a": []}

        await asyncio.sleep(SWEEP_SECONDS + TICK)
        assert parts.outcomes == {"a": ["deadline"]}


@in_virtual_time
async def test_an_item_that_expired_unsent_never_goes_out() -> None:
    """Nobody waits for its answer any more."""
    async with asker() as parts:
        parts.peer.call.may_write.clear()
        parts.ask("under way")
        await settle()
        parts.ask("expires", timeout=0.1)
        parts.ask("lives")
        await asyncio.sleep(0.2)
        parts.peer.call.may_write.set()
        await asyncio.sleep(STALL_SECONDS)

        assert parts.sent == [["under way"], ["lives"]]
        assert parts.outcomes == {"under way": [], "expires": ["deadline"], "lives": []}


@in_virtual_time
async def test_one_slow_item_is_no_outage() -> None:
    """It reaches its deadline while its neighbours are answered; the peer stays up and no line is written."""
    async with asker() as parts:
        parts.ask("slow")
        await asyncio.sleep(1)
        parts.ask("quick")
        await settle()
        parts.answer("quick")
        await asyncio.sleep(TIMEOUT)

        assert parts.outcomes == {"slow": ["deadline"], "quick": ["answered"]}
        assert parts.client.up is True
        assert parts.seen.log.lines == []


@in_virtual_time
async def test_an_item_may_be_asked_from_within_an_answer() -> None:
    """A connection's next request is asked as soon as its last one is answered."""
    async with asker() as parts:
        parts.ask("a", then=lambda: parts.ask("b"))
        await settle()
        parts.answer("a")
        await settle()

        assert parts.sent == [["a"], ["b"]]


# Bounds


@in_virtual_time
async def test_too_many_items_come_back_at_once() -> None:
    """An answer makes room for one more."""
    async with asker() as parts:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(item_client, "MAX_ITEMS_WAITING", 2)
            parts.ask("a", "b", "c")
            assert parts.outcomes == {"a": [], "b": [], "c": ["overload"]}

            await settle()
            parts.answer("a")
            await settle()
            parts.ask("d", "e")
        await settle()

        assert parts.outcomes == {
            "a": ["answered"],
            "b": [],
            "c": ["overload"],
            "d": [],
            "e": ["overload"],
        }
        assert parts.sent == [["a", "b"], ["d"]]


@in_virtual_time
async def test_too_many_bytes_come_back_at_once() -> None:
    """Up to the bound they are taken; every end of an item gives its bytes back."""
    async with asker() as parts:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(item_client, "MAX_BYTES_WAITING", 100)
            parts.ask("answered", "expires", size=50, timeout=1)
            parts.ask("too much", size=1)
            await settle()
            parts.answer("answered")
            await asyncio.sleep(1 + SWEEP_SECONDS)
            parts.ask("breaks", size=100)
            parts.ask("too much again", size=1)
            await settle()
            parts.peer.call.end()
            await settle()
            parts.ask("fits", size=100)
        await settle()

        assert parts.outcomes == {
            "answered": ["answered"],
            "expires": ["deadline"],
            "too much": ["overload"],
            "breaks": ["down"],
            "too much again": ["overload"],
            "fits": [],
        }


# Breaks


def end_in_order(parts: Asker) -> None:
    parts.peer.call.end()


def break_off(parts: Asker) -> None:
    parts.peer.call.break_off()


either_end = pytest.mark.parametrize("end", [end_in_order, break_off])


@either_end
@in_virtual_time
async def test_after_a_break_only_what_is_harmless_is_asked_again(
    end: Callable[[Asker], None],
) -> None:
    """On the next stream, before what was never sent; the others come back at once."""
    async with asker() as parts:
        parts.ask("charge")
        parts.ask("repeatable", resend=True)
        await settle()
        parts.ask("unsent")
        parts.ask("unsent repeatable", resend=True)
        end(parts)
        await settle()
        assert parts.outcomes == {
            "charge": ["down"],
            "repeatable": [],
            "unsent": [],
            "unsent repeatable": [],
        }

        await asyncio.sleep(1)
        parts.answer("repeatable", "unsent", "unsent repeatable")
        await settle()
        assert parts.peer.call.names == [[], ["repeatable", "unsent", "unsent repeatable"]]
        assert parts.outcomes == {
            "charge": ["down"],
            "repeatable": ["answered"],
            "unsent": ["answered"],
            "unsent repeatable": ["answered"],
        }


@in_virtual_time
async def test_an_item_survives_several_breaks() -> None:
    """It goes out once on each stream until its deadline."""
    async with asker() as parts:
        parts.ask("a", resend=True)
        for _ in range(3):
            await settle()
            parts.peer.call.end()
            await asyncio.sleep(0.15)
            parts.peer.call.greet()
        await settle()
        parts.answer("a")
        await settle()

        assert [call.names for call in parts.peer.calls] == [[[], ["a"]]] * 4
        assert parts.outcomes == {"a": ["answered"]}


@in_virtual_time
async def test_an_item_that_waits_through_failed_tries_is_asked_again_once() -> None:
    """However many new streams were tried before one stood; what was never sent keeps its place."""
    async with asker() as parts:
        parts.ask("first", "second", resend=True)
        await settle()
        parts.ask("unsent")
        parts.peer.away = True
        parts.peer.call.end()
        await asyncio.sleep(0.5)
        parts.ask("asked meanwhile", resend=True)
        await asyncio.sleep(0.5)
        parts.peer.away = False
        await asyncio.sleep(1)

        assert len(parts.peer.calls) > 4
        assert parts.sent == [["first", "second", "unsent", "asked meanwhile"]]


@in_virtual_time
async def test_a_break_closes_the_old_stream() -> None:
    """Nothing more is written to it."""
    async with asker() as parts:
        old = parts.peer.call
        old.end()
        await asyncio.sleep(1)
        parts.ask("a")
        await settle()

        assert old.cancelled is True
        assert old.names == [[]]
        assert parts.sent == [["a"]]


@in_virtual_time
async def test_bytes_that_are_no_message_are_a_break() -> None:
    """Somebody else listens on the peer's port: gRPC reads None in the place of what it cannot parse."""
    async with asker() as parts:
        parts.ask("a", resend=True)
        await settle()
        parts.peer.call.put(None)
        await asyncio.sleep(ANNOUNCE_AFTER_SECONDS / 2)
        parts.answer("a")
        await settle()

        assert parts.outcomes == {"a": ["answered"]}
        assert len(parts.peer.calls) == 2


@in_virtual_time
async def test_an_item_whose_writing_fails_comes_back_with_the_break() -> None:
    """It may have arrived, so it is asked again only if that is harmless."""
    async with asker() as parts:

        async def fail(_: object) -> None:
            raise asyncio.InvalidStateError("the call is over")

        parts.peer.call.write = fail  # type: ignore[assignment,method-assign]
        parts.ask("charge")
        parts.ask("repeatable", resend=True)
        await settle()
        parts.peer.call.break_off()
        await asyncio.sleep(1)

        assert parts.outcomes == {"charge": ["down"], "repeatable": []}
        assert parts.sent == [["repeatable"]]


@in_virtual_time
async def test_an_item_that_is_asked_when_another_comes_back_waits_for_the_next_stream() -> None:
    """A connection's next request is asked as soon as its last one has failed."""
    async with asker() as parts:
        parts.ask("charge", then=lambda: parts.ask("next"))
        await settle()
        parts.peer.call.end()
        await asyncio.sleep(1)

        assert parts.sent == [["next"]]
        assert parts.outcomes == {"charge": ["down"], "next": []}


# Outages


@in_virtual_time
async def test_in_a_young_outage_items_wait() -> None:
    """A peer that is restarted costs no answer."""
    async with asker() as parts:
        parts.peer.away = True
        parts.peer.call.end()
        await asyncio.sleep(2)
        parts.ask("a")
        await settle()
        assert parts.outcomes == {"a": []}

        parts.peer.away = False
        await asyncio.sleep(1)
        parts.answer("a")
        await settle()
        assert parts.outcomes == {"a": ["answered"]}


@in_virtual_time
async def test_in_an_old_outage_items_come_back_at_once() -> None:
    """Those that wait come back too, before their deadline."""
    async with asker() as parts:
        parts.peer.away = True
        parts.peer.call.end()
        await asyncio.sleep(PATIENCE_SECONDS - 1)
        parts.ask("waits")
        await asyncio.sleep(1 - TICK)
        parts.ask("young")
        assert parts.outcomes == {"waits": [], "young": []}

        await asyncio.sleep(2 * TICK)
        parts.ask("old")
        assert parts.outcomes["old"] == ["down"]
        await asyncio.sleep(SWEEP_SECONDS)
        assert parts.outcomes == {"waits": ["down"], "young": ["down"], "old": ["down"]}


@in_virtual_time
async def test_the_first_word_of_the_peer_ends_an_outage() -> None:
    """From then on items are asked again."""
    async with asker() as parts:
        parts.peer.away = True
        parts.peer.call.end()
        await asyncio.sleep(60)
        parts.peer.away = False
        await asyncio.sleep(2)
        parts.ask("too early")
        parts.peer.call.greet()
        await settle()
        parts.ask("a")
        await settle()
        parts.answer("a")
        await settle()

        assert parts.outcomes == {"too early": ["down"], "a": ["answered"]}
        assert parts.client.up is True


@in_virtual_time
async def test_at_the_start_items_wait_for_the_peer() -> None:
    """As long as in any outage: PATIENCE_SECONDS, then they come back at once."""
    async with asker(greeted=False) as parts:
        await asyncio.sleep(PATIENCE_SECONDS - TICK)
        parts.ask("young", timeout=10)
        await asyncio.sleep(2 * TICK)
        parts.ask("old", timeout=10)

        assert parts.outcomes == {"young": [], "old": ["down"]}


@in_virtual_time
async def test_a_peer_that_hangs_is_an_outage() -> None:
    """It begins with the first item that was never answered, and ends with a late answer."""
    async with asker() as parts:
        parts.ask("hangs")
        await asyncio.sleep(TIMEOUT + SWEEP_SECONDS)
        assert parts.outcomes == {"hangs": ["deadline"]}
        assert parts.client.up is False

        parts.ask("waits")
        await asyncio.sleep(PATIENCE_SECONDS - TIMEOUT)
        parts.ask("at once")
        assert parts.outcomes == {"hangs": ["deadline"], "waits": ["down"], "at once": ["down"]}

        parts.answer("hangs")
        await settle()
        parts.ask("again")
        await settle()
        assert parts.client.up is True
        assert parts.outcomes["again"] == []
        assert parts.peer.call.names == [[], ["hangs"], ["waits"], [], ["again"]]


@in_virtual_time
async def test_a_new_stream_is_tried_every_tenth_of_a_second() -> None:
    """However long the outage: a peer that restarts is found as soon as it listens."""
    async with asker() as parts:
        parts.peer.away = True
        parts.peer.call.end()
        await asyncio.sleep(1.05)

        assert parts.peer.opened_at == [round(number / 10, 1) for number in range(11)]


# Log lines and metrics


@in_virtual_time
async def test_an_outage_is_two_lines_however_many_items_it_costs() -> None:
    """One when it is long enough to be worth one, with the reason, and one at its end."""
    async with asker() as parts:
        parts.peer.away = True
        parts.peer.call.break_off("the socket was closed")
        for number in range(100):
            parts.ask(f"item {number}")
            await asyncio.sleep(0.1)
        assert parts.seen.log.lines == [
            {
                "event": "peer_down",
                "level": "error",
                "peer": "neighbour",
                "reason": "connection refused",
            }
        ]

        parts.peer.away = False
        await asyncio.sleep(1)
        parts.peer.call.greet()
        parts.peer.call.greet()
        await settle()
        assert parts.seen.log.lines[1:] == [{"event": "peer_up", "level": "warning", "peer": "neighbour"}]


@in_virtual_time
async def test_each_outage_is_announced() -> None:
    """The second one as well as the first."""
    async with asker() as parts:
        for _ in range(2):
            parts.peer.away = True
            parts.peer.call.end()
            await asyncio.sleep(5)
            parts.peer.away = False
            await asyncio.sleep(1)
            parts.peer.call.greet()
            await settle()

        assert parts.seen.log.events == ["peer_down", "peer_up"] * 2


@in_virtual_time
async def test_a_short_restart_is_not_worth_a_line() -> None:
    """Nor is the start itself, when the peer comes up a little later."""
    async with asker(greeted=False) as parts:
        await asyncio.sleep(ANNOUNCE_AFTER_SECONDS / 2)
        parts.peer.call.greet()
        await asyncio.sleep(10)
        parts.peer.call.end()
        await asyncio.sleep(ANNOUNCE_AFTER_SECONDS / 2)
        parts.peer.call.greet()
        await asyncio.sleep(10)

        assert parts.seen.log.lines == []
        assert len(parts.peer.calls) == 2


@in_virtual_time
async def test_a_peer_that_never_comes_up_is_said_once() -> None:
    """The launcher starts all services at the same time, so not at once."""
    parts = Asker()
    parts.peer.away = True
    engine = asyncio.create_task(parts.client.run())
    await asyncio.sleep(ANNOUNCE_AFTER_SECONDS - TICK)
    assert parts.seen.log.lines == []

    await asyncio.sleep(20)
    assert parts.seen.log.events == ["peer_down"]
    engine.cancel()
    await asyncio.gather(engine, return_exceptions=True)


@in_virtual_time
async def test_a_hanging_peer_is_announced() -> None:
    """With the reason that no answer came in time."""
    async with asker() as parts:
        parts.ask("a", "b")
        await asyncio.sleep(TIMEOUT + SWEEP_SECONDS)
        parts.answer("a")
        await settle()

        assert [(line["event"], line.get("reason")) for line in parts.seen.log.lines] == [
            ("peer_down", "no answer within the deadline"),
            ("peer_up", None),
        ]


@in_virtual_time
async def test_the_metrics_tell_the_state_and_the_traffic() -> None:
    """Greetings are no items; every cause is there from the start."""
    async with asker(greeted=False) as parts:
        sample = parts.seen.sample
        assert sample("stream_up", peer="neighbour") == 0
        assert parts.seen.samples("stream_unanswered_total") == {
            ("down",): 0,
            ("deadline",): 0,
            ("overload",): 0,
        }

        parts.peer.call.greet()
        await settle()
        assert sample("stream_up", peer="neighbour") == 1

        parts.ask("a", "b", "c", timeout=1)
        await settle()
        parts.answer("a", "b")
        await asyncio.sleep(2)
        parts.ask("d")
        await settle()
        parts.peer.call.end()
        await settle()

        assert sample("stream_up", peer="neighbour") == 0
        assert parts.seen.samples("stream_items_total") == {
            ("neighbour", "sent"): 4,
            ("neighbour", "received"): 2,
        }
        assert sample("stream_messages_total", peer="neighbour", direction="received") == 2
        assert parts.seen.samples("stream_unanswered_total") == {
            ("down",): 1,
            ("deadline",): 1,
            ("overload",): 0,
        }


# The end


@in_virtual_time
async def test_the_end_of_the_engine_gives_every_item_back() -> None:
    """Sent or not, whether or not it may be asked twice; the stream is closed."""
    async with asker() as parts:
        parts.ask("sent")
        parts.ask("repeatable", resend=True)
        await settle()
        parts.ask("unsent")

    await asyncio.sleep(2 * TIMEOUT)
    assert parts.outcomes == {"sent": ["down"], "repeatable": ["down"], "unsent": ["down"]}
    assert parts.peer.call.cancelled is True


@in_virtual_time
async def test_an_item_that_is_asked_after_the_end_comes_back() -> None:
    """Nobody will ever answer it, and whoever asks must hear something."""
    async with asker() as parts:
        parts.ask("before")
        await settle()

    parts.ask("after")
    await asyncio.sleep(2 * TIMEOUT)
    assert parts.outcomes == {"before": ["down"], "after": ["down"]}


@in_virtual_time
async def test_an_item_that_is_asked_while_the_others_come_back_at_the_end_comes_back() -> None:
    """A connection's next request, asked as soon as its last one has failed."""
    async with asker() as parts:
        parts.ask("last", then=lambda: parts.ask("next"))
        await settle()

    await asyncio.sleep(2 * TIMEOUT)
    assert parts.outcomes == {"last": ["down"], "next": ["down"]}


def do_ask(parts: Asker, number: int) -> None:
    parts.ask(f"{len(parts.outcomes)}", resend=number % 2 == 0, size=number, timeout=0.1 * number)


def do_ask_again_when_done(parts: Asker, number: int) -> None:
    parts.ask(f"{len(parts.outcomes)}", then=lambda: do_ask(parts, number))


def do_reply(parts: Asker, number: int) -> None:
    names = [name for message in parts.peer.call.names for name in message]
    parts.answer(*names[-number:])


def do_end(parts: Asker, number: int) -> None:
    parts.peer.call.end()


def do_break(parts: Asker, number: int) -> None:
    parts.peer.call.break_off()


def do_switch(parts: Asker, number: int) -> None:
    parts.peer.away = not parts.peer.away


def do_hold_back(parts: Asker, number: int) -> None:
    parts.peer.call.may_write.clear()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [do_ask, do_ask, do_ask_again_when_done, do_reply, do_end, do_break, do_switch, do_hold_back]
        ),
        st.integers(1, 9),
        st.sampled_from([0, 0, 0.001, 0.03, 0.5, 6.0]),
    ),
    max_size=30,
)


async def play(steps: Iterable[tuple[Callable[[Asker, int], None], int, float]]) -> Asker:
    """Do the steps, each with its number and the pause after it; then end, and wait out every deadline."""
    async with asker() as parts:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(item_client, "MAX_ITEMS_WAITING", 6)
            patch.setattr(item_client, "MAX_BYTES_WAITING", 30)
            for step, number, pause in steps:
                step(parts, number)
                await settle()
                await asyncio.sleep(pause)
    await asyncio.sleep(2 * TIMEOUT)
    return parts


@given(STEPS)
@settings(max_examples=60)
def test_every_item_has_exactly_one_outcome(
    steps: list[tuple[Callable[[Asker, int], None], int, float]],
) -> None:
    """Whatever is asked, answered, broken, held back or away, in any order."""

    @in_virtual_time
    async def scenario() -> None:
        parts = await play(steps)
        assert {name: len(outcomes) for name, outcomes in parts.outcomes.items()} == dict.fromkeys(
            parts.outcomes, 1
        )

    scenario()


@in_virtual_time
async def test_an_old_outage_on_a_standing_stream_is_ended_by_a_greeting() -> None:
    """A reply was lost, and nothing is sent any more: the peer is greeted, once a second at most."""
    async with asker() as parts:
        parts.ask("lost")
        await asyncio.sleep(PATIENCE_SECONDS + 1)
        for name in ("a", "b", "c"):
            parts.ask(name)
        await settle()
        assert parts.peer.call.names == [[], ["lost"], []]

        parts.answer()
        await settle()
        assert parts.client.up is True


@in_virtual_time
async def test_a_bug_of_one_asker_costs_its_neighbours_nothing() -> None:
    """It is logged; the stream and the others go on."""

    def fail() -> None:
        raise ValueError("a bug")

    async with asker() as parts:
        parts.ask("bad", then=fail)
        parts.ask("good")
        await settle()
        parts.answer("bad", "good")
        await settle()
        parts.ask("later")
        await settle()

        assert parts.outcomes["good"] == ["answered"]
        assert parts.client.up is True
        assert parts.sent[-1] == ["later"]
