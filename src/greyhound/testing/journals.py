"""What every journal promises: order, wholeness of batches, all writers seen by all readers."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import fields

from greyhound.events import (
    Beat,
    Constrained,
    Declared,
    Ended,
    Enqueued,
    Event,
    Joined,
    Noted,
    Reported,
    Started,
    Suggested,
)
from greyhound.storage.base import Journal
from greyhound.testing.promise import expect
from greyhound.trial import TrialState

Make = Callable[[], Journal]
"""Opens the same journal, empty at the first call, each time it is called."""


def check_journal(make: Callable[[], Make]) -> None:
    """Run every check. make() gives a function that opens one fresh journal, again and again."""
    for check in CHECKS.values():
        check(make())


def keeps_events(make: Make) -> None:
    """What is read equals what was appended, in every detail."""
    journal = make()
    sample = _sample()
    expect(journal.append(sample) == len(sample), "append returns the position of the last event")
    read = journal.read(0)
    expect(len(read) == len(sample), "read(0) returns every event")
    for event, back in zip(sample, read, strict=True):
        expect(_same(event, back), f"an event is read as it was written; {event} came back as {back}")
    journal.close()


def reads_from_a_position(make: Make) -> None:
    """read(n) returns what lies behind position n, and nothing else."""
    journal = make()
    for at in range(5):
        journal.append([Beat(float(at), "a")])
    expect(
        [event.time for event in journal.read(3)] == [3.0, 4.0],
        "read(3) returns the events behind position 3",
    )
    expect(journal.read(5) == [], "nothing lies behind the last position")
    journal.close()


def keeps_batches_whole(make: Make) -> None:
    """Batches of several writers don't mix, positions have no gaps, and each writer's order holds."""
    writers, batches, size = 4, 10, 3
    journals = [make() for _ in range(writers)]
    errors: list[BaseException] = []

    def write(at: int) -> None:
        try:
            for batch in range(batches):
                journals[at].append([Beat(float(batch * size + item), str(at)) for item in range(size)])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(at,)) for at in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    events = journals[0].read(0)
    expect(len(events) == writers * batches * size, "no event is lost when several write at once")
    owners = [event.owner for event in events if isinstance(event, Beat)]
    for start in range(0, len(owners), size):
        expect(len(set(owners[start : start + size])) == 1, "the events of a batch stand together")
    for at in range(writers):
        times = [event.time for event in events if isinstance(event, Beat) and event.owner == str(at)]
        expect(times == sorted(times), "a writer's events keep their order")
    for journal in journals:
        journal.close()


def returns_own_position(make: Make) -> None:
    """append returns the position behind which only later events lie."""
    mine, other = make(), make()
    mine.append([Beat(1.0, "a")])
    other.append([Beat(2.0, "b")])
    position = mine.append([Beat(3.0, "a")])
    expect(position == 3, "append counts the events of other writers")
    other.append([Beat(4.0, "b")])
    expect([event.time for event in mine.read(position)] == [4.0], "what others append later is read behind it")
    mine.close()
    other.close()


def takes_an_empty_batch(make: Make) -> None:
    """An empty batch changes nothing."""
    journal = make()
    journal.append([Beat(1.0, "a")])
    expect(journal.append([]) == 1, "an empty batch leaves the last position")
    expect(len(journal.read(0)) == 1, "an empty batch adds nothing")
    journal.close()


def closes_twice(make: Make) -> None:
    """close may be called twice."""
    journal = make()
    journal.close()
    journal.close()


CHECKS: Mapping[str, Callable[[Make], None]] = {
    check.__name__: check
    for check in (
        keeps_events, reads_from_a_position, keeps_batches_whole, returns_own_position, takes_an_empty_batch,
        closes_twice,
    )
}  # fmt: skip


def _sample() -> list[Event]:
    params = {
        "lr": 0.1 + 0.2,
        "layers": 3,
        "shape": (64, (32, "x")),
        "flag": True,
        "nothing": None,
        "naïve": "ü\n\"'",
    }
    return [
        Declared(1.5, {"seed": 3, "space": None, "nested": {"list": [1, 2.5, None]}}),
        Joined(2.0, "abcd", "host", 123, 1.25),
        Enqueued(3.0, params, place=1),
        Started(4.0, 0, params, 2**31 - 1, "sampler", "abcd", 9, None, None),
        Suggested(4.5, 0, "units", (1, 2), {"type": "categorical", "choices": [[1, 2], 3]}),
        Reported(5.0, 0, 1, {"accuracy": 1e-300, "loss": math.inf, "other": math.nan, "tiny": -0.0}),
        Noted(6.0, 0, {"text": "x" * 10_000, "list": [1, [2]]}),
        Constrained(6.5, 0, "at most, naïve", math.inf),
        Ended(7.0, 0, TrialState.OUT_OF_MEMORY, {}, "abcd", 'line 1\nline "2"', 1.0 / 3.0),
    ]


def _same(event: Event, back: Event) -> bool:
    if type(event) is not type(back):
        return False
    pairs = ((getattr(event, field.name), getattr(back, field.name)) for field in fields(event))
    return all(repr(mine) == repr(theirs) for mine, theirs in pairs)
