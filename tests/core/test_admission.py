"""The coordinator's table: a cancel before admission, in prefill, in between, and in decode."""

from __future__ import annotations

import itertools

import pytest

from adpkv.core.admission import ADMISSION, Action, AdmissionEvent, AdmissionState

S, E, A = AdmissionState, AdmissionEvent, Action


def test_the_table_is_complete() -> None:
    assert set(ADMISSION) == set(S)
    assert all(set(lines) == set(E) for lines in ADMISSION.values())


@pytest.mark.parametrize(
    ("events", "actions", "end"),
    [
        ((E.CANCEL,), [A.END_CANCELLED], S.ENDED),
        (
            (E.ADMIT, E.PREFILLED, E.TERMINAL),
            [A.TO_CONTEXT, A.TO_GENERATION, A.END_AS_SAID],
            S.ENDED,
        ),
        (
            (E.ADMIT, E.CANCEL, E.TERMINAL),
            [A.TO_CONTEXT, A.CANCEL_CONTEXT, A.END_AS_SAID],
            S.ENDED,
        ),
        (
            (E.ADMIT, E.CANCEL, E.PREFILLED),  # they crossed: no generation instance hears of it
            [A.TO_CONTEXT, A.CANCEL_CONTEXT, A.END_CANCELLED],
            S.ENDED,
        ),
        (
            (E.ADMIT, E.PREFILLED, E.CANCEL, E.CANCEL, E.TERMINAL),
            [A.TO_CONTEXT, A.TO_GENERATION, A.CANCEL_GENERATION, A.NOTHING, A.END_AS_SAID],
            S.ENDED,
        ),
        ((E.STOP,), [A.END_STOPPED], S.ENDED),
        ((E.REFUSE,), [A.END_REFUSED], S.ENDED),
        ((E.ADMIT, E.STOP, E.PREFILLED), [A.TO_CONTEXT, A.NOTHING, A.END_CANCELLED], S.ENDED),
        (
            (E.ADMIT, E.PREFILLED, E.STOP, E.TERMINAL),
            [A.TO_CONTEXT, A.TO_GENERATION, A.NOTHING, A.END_AS_SAID],
            S.ENDED,
        ),
        ((E.ADMIT, E.LOST), [A.TO_CONTEXT, A.END_LOST], S.ENDED),
        (
            (E.ADMIT, E.PREFILLED, E.RECOMPUTE, E.PREFILLED, E.TERMINAL),
            [A.TO_CONTEXT, A.TO_GENERATION, A.AGAIN, A.TO_GENERATION, A.END_AS_SAID],
            S.ENDED,
        ),
        (
            (E.ADMIT, E.CANCEL, E.RECOMPUTE),  # nobody wants it computed again
            [A.TO_CONTEXT, A.CANCEL_CONTEXT, A.END_LOST],
            S.ENDED,
        ),
    ],
)
def test_a_way_through(events: tuple[E, ...], actions: list[A], end: S) -> None:
    state = S.ARRIVED
    done = []
    for event in events:
        line = ADMISSION[state][event]
        assert line is not None
        state = line.state
        done.append(line.action)
    assert (done, state) == (actions, end)


def test_no_way_ends_a_request_twice() -> None:
    ends = (A.END_AS_SAID, A.END_CANCELLED, A.END_STOPPED, A.END_LOST, A.END_REFUSED)
    for events in itertools.product(E, repeat=5):
        state, ended = S.ARRIVED, 0
        for event in events:
            line = ADMISSION[state][event]
            if line is not None:
                state = line.state
                ended += line.action in ends
        assert ended == (1 if state is S.ENDED else 0), events


def test_a_second_terminal_response_is_called_impossible() -> None:
    assert ADMISSION[S.ENDED][E.TERMINAL] is None
    assert ADMISSION[S.ENDED][E.PREFILLED] is None
