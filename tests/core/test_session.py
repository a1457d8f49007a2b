"""The two tables of contract 3, line by line; the expected lines are written from its text."""

from __future__ import annotations

import pytest
from core_parts import session

from adpkv.core.rules import Rules
from adpkv.core.session import (
    STORY_LINES,
    TABLES,
    Blocks,
    Event,
    Line,
    Order,
    Role,
    Session,
    State,
)
from adpkv.core.session_book import SessionBook
from adpkv.core.values import Outcome
from adpkv.errors import IllegalTransitionError
from adpkv.field_policies.catalogue import POLICIES

# state(s) | event(s) | next | what becomes of the blocks; `-` is "unchanged".
RECEIVER_TEXT = """
waiting                 | reserved                             | queued       | kept
waiting queued          | cancel                               | cancelled    | freed
waiting queued          | wait_limit                           | timed_out    | freed
waiting queued          | peer_lost stop                       | failed       | freed
queued                  | advertise                            | advertised   | held
queued                  | cached                               | complete     | kept
advertised              | silence                              | -            | held
advertised peer_queued  | peer_queued                          | peer_queued  | held
advertised peer_queued  | began                                | transferring | held
peer_queued             | wait_limit                           | quarantined  | held
transferring            | began peer_queued                    | transferring | held
advertised transferring | deadline                             | quarantined  | held
EXPOSED                 | done                                 | complete     | kept
EXPOSED                 | ended                                | failed       | freed
EXPOSED                 | cancel error stop peer_lost          | quarantined  | held
quarantined             | done ended                           | released     | freed
quarantined             | cancel began deadline error stop     | -            | held
quarantined             | peer_queued peer_lost ask            | -            | held
"""

SENDER_TEXT = """
prepared    | advertise                            | posted      | held
prepared    | no_slot                              | -           | kept
prepared    | cached                               | complete    | freed
posted      | advertise_again                      | -           | held
prepared    | cancel                               | cancelled   | freed
prepared    | wait_limit                           | timed_out   | freed
prepared    | stop peer_lost                       | failed      | freed
posted      | done                                 | complete    | freed
posted      | ended                                | failed      | freed
posted      | cancel deadline error stop peer_lost | quarantined | held
quarantined | done ended                           | released    | freed
quarantined | cancel began deadline error stop     | -           | held
quarantined | peer_lost advertise_again            | -           | held
"""

EXPOSED = "advertised peer_queued transferring"

# "Any end, anything: unchanged, counted as late", and whose the blocks are then.
ENDS = {
    Role.RECEIVER: {"complete": "kept"},
    Role.SENDER: {"complete": "freed"},
}
OTHER_ENDS = ("failed", "cancelled", "timed_out", "released")

# What the client is told, decided once, by what ended it.
TOLD = {
    Event.CANCEL: Outcome.CANCELLED,
    Event.WAIT_LIMIT: Outcome.TIMED_OUT,
    Event.DEADLINE: Outcome.TIMED_OUT,
    Event.ERROR: Outcome.FAILED,
    Event.ENDED: Outcome.FAILED,
    Event.PEER_LOST: Outcome.FAILED,
    Event.STOP: Outcome.FAILED,
}

Expected = dict[tuple[State, Event], tuple[State, Blocks]]


def _read(text: str) -> Expected:
    found: Expected = {}
    for row in text.strip().splitlines():
        states, events, after, blocks = (cell.strip() for cell in row.split("|"))
        for state in states.replace("EXPOSED", EXPOSED).split():
            for event in events.split():
                end = state if after == "-" else after
                found[State(state), Event(event)] = (State(end), Blocks(blocks))
    return found


EXPECTED = {Role.RECEIVER: _read(RECEIVER_TEXT), Role.SENDER: _read(SENDER_TEXT)}
PAIRS = [(role, state, event) for role in Role for state in TABLES[role] for event in Event]


def _line(role: Role, state: State, event: Event) -> Line | None:
    return TABLES[role][state][event]


def _is_end(role: Role, state: State) -> bool:
    return state in {*ENDS[role], *OTHER_ENDS}


def _at(role: Role, state: State) -> Session:
    made = session(role)
    made.state = state
    return made


@pytest.mark.parametrize("role", Role)
def test_every_state_of_a_role_has_every_event(role: Role) -> None:
    for state, lines in TABLES[role].items():
        assert set(lines) == set(Event), state
    reachable = {line.state for lines in TABLES[role].values() for line in lines.values() if line}
    assert reachable <= set(TABLES[role])


@pytest.mark.parametrize(("role", "state", "event"), PAIRS)
def test_the_line_is_the_contracts(role: Role, state: State, event: Event) -> None:
    line = _line(role, state, event)
    if _is_end(role, state):
        blocks = Blocks(ENDS[role].get(state, "freed"))
        assert line == Line(state, blocks, late=True)
        return
    expected = EXPECTED[role].get((state, event))
    assert (line and (line.state, line.blocks)) == expected


@pytest.mark.parametrize(("role", "state", "event"), PAIRS)
def test_the_client_is_told_once_and_by_cause(role: Role, state: State, event: Event) -> None:
    line = _line(role, state, event)
    if line is None:
        return
    answered = state is State.QUARANTINED or _is_end(role, state)
    ends = line.state is not state and not answered
    assert line.outcome == (TOLD.get(event) if ends else None)


@pytest.mark.parametrize(("role", "state", "event"), PAIRS)
def test_an_impossible_event_leaves_the_state_and_tells_the_story(
    role: Role, state: State, event: Event
) -> None:
    if _line(role, state, event) is not None:
        return
    made = _at(role, state)
    made.story += (2_000_000_000, Event.CANCEL, State.QUARANTINED)
    with pytest.raises(IllegalTransitionError) as caught:
        SessionBook(role, Rules()).fire(made, event, 3)
    assert made.state is state
    assert len(made.story_lines()) == 1
    text = str(caught.value)
    assert f"{role} session (1, 0): event {event} cannot happen in state {state}" in text
    assert "2.000000 s cancel -> quarantined" in text


@pytest.mark.parametrize(
    ("role", "state", "event", "expected"),
    [
        (Role.RECEIVER, State.QUEUED, Event.ADVERTISE, Order.EXPECT),
        (Role.RECEIVER, State.WAITING, Event.CANCEL, Order.TELL_CANCEL),
        (Role.RECEIVER, State.ADVERTISED, Event.SILENCE, Order.TELL_AGAIN),
        (Role.RECEIVER, State.ADVERTISED, Event.DEADLINE, Order.TELL_CANCEL),
        (Role.RECEIVER, State.PEER_QUEUED, Event.WAIT_LIMIT, Order.TELL_CANCEL),
        (Role.SENDER, State.PREPARED, Event.ADVERTISE, Order.POST),
        (Role.SENDER, State.PREPARED, Event.NO_SLOT, Order.TELL_QUEUED),
        (Role.SENDER, State.POSTED, Event.ADVERTISE_AGAIN, Order.TELL_BEGAN),
        (Role.SENDER, State.PREPARED, Event.WAIT_LIMIT, Order.TELL_NEVER_STARTED),
        (Role.SENDER, State.POSTED, Event.CANCEL, Order.WITHDRAW),
        (Role.SENDER, State.POSTED, Event.ENDED, Order.TELL_ENDED),
        (Role.SENDER, State.QUARANTINED, Event.ENDED, Order.TELL_ENDED),
    ],
)
def test_the_other_end_is_told(role: Role, state: State, event: Event, expected: Order) -> None:
    line = _line(role, state, event)
    assert line is not None
    assert line.orders == (expected,)


@pytest.mark.parametrize("role", Role)
def test_a_lost_peer_is_not_written_to(role: Role) -> None:
    for lines in TABLES[role].values():
        line = lines[Event.PEER_LOST]
        assert line is None or line.orders == ()


def test_blocks_are_freed_only_before_exposure_or_on_proof() -> None:
    safe = {State.WAITING, State.QUEUED, State.PREPARED}
    for role, state, event in PAIRS:
        line = _line(role, state, event)
        if line is not None and line.blocks is Blocks.FREED and not _is_end(role, state):
            assert state in safe or event in (Event.DONE, Event.ENDED), (role, state, event)


def test_a_session_begins_where_its_role_says() -> None:
    assert session(Role.RECEIVER).state is State.WAITING
    assert session(Role.SENDER).state is State.PREPARED


def test_a_story_is_bounded() -> None:
    made, book = session(Role.RECEIVER), SessionBook(Role.RECEIVER, Rules())
    for event in (Event.RESERVED, Event.ADVERTISE, Event.CANCEL):
        book.fire(made, event, 0)
    for now_ns in range(2 * STORY_LINES):
        book.fire(made, Event.BEGAN, now_ns)
    assert len(made.story_lines()) == STORY_LINES


GROUPS = """
waiting      | unexposed | waits
queued       | unexposed | waits
prepared     | unexposed | waits
advertised   | exposed   | moves
peer_queued  | exposed   | waits
transferring | exposed   | moves
posted       | exposed   | moves
quarantined  | exposed   | moves
complete     | over      | -
failed       | over      | -
cancelled    | over      | -
timed_out    | over      | -
released     | over      | -
"""


def test_each_state_is_in_one_group() -> None:
    found = []
    for row in GROUPS.strip().splitlines():
        word, group, more = (cell.strip() for cell in row.split("|"))
        state = State(word)
        found.append(state)
        exposure = (state.is_unexposed, state.is_exposed, state.is_over)
        assert exposure == tuple(group == one for one in ("unexposed", "exposed", "over")), word
        assert (state.may_wait, state.is_moving) == (more == "waits", more == "moves"), word
    assert sorted(found) == sorted(State)


def test_blocks_are_held_by_the_exposed_states_and_no_others() -> None:
    """`SessionBook.fire` reads the one for the other; in the tables of field policies too."""
    tables = [*TABLES.values()]
    for policy in POLICIES.values():
        tables += policy.rules(Rules()).tables.values()
    lines = {line for table in tables for events in table.values() for line in events.values()}
    assert len(lines) > 20
    for line in lines - {None}:
        assert line is not None
        assert (line.blocks is Blocks.HELD) == line.state.is_exposed, line
