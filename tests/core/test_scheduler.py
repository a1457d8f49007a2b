"""Chunked prefill under a budget, and decode that touches only who finishes."""

from __future__ import annotations

from core_parts import spec
from hypothesis import given
from hypothesis import strategies as st

from adpkv.core.request import RequestEvent, RequestState, ServedRequest
from adpkv.core.scheduler import DecodeSchedule, PrefillSchedule


def prompt(request_id: int, tokens: int, computed: int = 0) -> ServedRequest:
    request = ServedRequest(spec(request_id, prompt=tokens), 0)
    request.fire(RequestEvent.PREFILL_BEGAN)
    request.computed = computed
    return request


def decoding(request_id: int, tokens: int, output: int) -> ServedRequest:
    request = ServedRequest(spec(request_id, prompt=tokens, output=output), 0)
    request.fire(RequestEvent.RECEIVE_BEGAN)
    request.fire(RequestEvent.RECEIVED)
    return request


def prefilled(schedule: PrefillSchedule) -> list[tuple[int, int]]:
    """Run one planned step: (request, tokens) of each chunk; whole prompts leave."""
    found = []
    for request, count in schedule.stepped():
        found.append((request.spec.request_id, count))
        if request.computed == request.spec.prompt_tokens:
            schedule.done(request)
    return found


# -- prefill -----------------------------------------------------------------------------------


def test_prompts_are_cut_at_the_budget_oldest_first() -> None:
    schedule = PrefillSchedule(8)
    for request_id, tokens in ((1, 5), (2, 10), (3, 1)):
        schedule.add(prompt(request_id, tokens))
    steps = []
    while schedule.running:
        assert schedule.plan(0)[0] <= 8
        steps.append(prefilled(schedule))
    assert steps == [[(1, 5), (2, 3)], [(2, 7), (3, 1)]]


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 59)), min_size=1, max_size=6),
    st.integers(1, 40),
)
def test_pairs_are_what_each_token_attends_to(prompts: list[tuple[int, int]], budget: int) -> None:
    """Against brute force: the token at position p attends to p + 1 tokens, itself included."""
    schedule = PrefillSchedule(budget)
    made = [prompt(i, n, min(done, n - 1)) for i, (n, done) in enumerate(prompts)]
    for request in made:
        schedule.add(request)
    positions = [(r, p) for r in made for p in range(r.computed, r.spec.prompt_tokens)]
    now = positions[:budget]
    assert schedule.plan(0)[:2] == (len(now), sum(p + 1 for _, p in now))


@given(st.lists(st.integers(1, 100), min_size=1, max_size=20), st.integers(1, 64))
def test_everybody_finishes_in_order_of_arrival(prompts: list[int], budget: int) -> None:
    """No starvation: every step computes as much as it may, and nobody is overtaken."""
    schedule = PrefillSchedule(budget)
    for i, tokens in enumerate(prompts):
        schedule.add(prompt(i, tokens))
    left, finished, steps = sum(prompts), [], 0
    while schedule.running:
        tokens, *_ = schedule.plan(0)
        assert tokens == min(budget, left)
        left -= tokens
        before = len(schedule.running)
        done = [request_id for request_id, _ in prefilled(schedule)]
        finished += done[: before - len(schedule.running)]
        steps += 1
    assert finished == list(range(len(prompts)))
    assert steps == -(-sum(prompts) // budget)


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 59)), min_size=1, max_size=4),
    st.integers(1, 20),
)
def test_steps_in_a_row_are_those_one_by_one(prompts: list[tuple[int, int]], budget: int) -> None:
    """Of the oldest prompt alone, and each has tokens * tokens more pairs than the one before."""
    rows, singly = PrefillSchedule(budget), PrefillSchedule(budget)
    for i, (tokens, done) in enumerate(prompts):
        for schedule in (rows, singly):
            schedule.add(prompt(i, tokens, min(done, tokens - 1)))
    while rows.running:
        oldest = rows.running[0]
        tokens, pairs, most = rows.plan(0)
        assert most == max((oldest.spec.prompt_tokens - oldest.computed) // budget, 1)
        for step in range(most):
            assert singly.plan(0)[:2] == (tokens, pairs + step * tokens * tokens)
            done = prefilled(singly)
            assert step == most - 1 or len(done) == 1
        for request, _ in rows.stepped(most):
            if request.computed == request.spec.prompt_tokens:
                rows.done(request)
        at = [[(one.spec.request_id, one.computed) for one in s.running] for s in (rows, singly)]
        assert at[0] == at[1]


def test_who_was_cancelled_after_the_plan_gets_nothing() -> None:
    schedule = PrefillSchedule(100)
    gone, stays = prompt(1, 5), prompt(2, 6)
    schedule.add(gone)
    schedule.add(stays)
    schedule.plan(0)
    gone.fire(RequestEvent.CANCEL)
    schedule.done(gone)
    assert prefilled(schedule) == [(2, 6)]
    assert gone.computed == 0


def test_a_prompt_may_leave_from_the_middle() -> None:
    schedule = PrefillSchedule(100)
    made = [prompt(i, 5) for i in range(3)]
    for request in made:
        schedule.add(request)
    schedule.done(made[1])
    schedule.plan(0)
    assert prefilled(schedule) == [(0, 5), (2, 5)]


# -- decode ------------------------------------------------------------------------------------


def test_they_finish_in_order_of_their_last_token() -> None:
    schedule = DecodeSchedule()
    for request_id, output in ((1, 5), (2, 3), (3, 3), (4, 9)):
        schedule.add(decoding(request_id, 10, output))
    order = []
    while schedule.sequences:
        for request in schedule.stepped(schedule.most_steps()):
            order.append((schedule.steps, request.spec.request_id))
            request.fire(RequestEvent.FINISHED)
            schedule.remove(request)
    assert order == [(2, 2), (2, 3), (4, 1), (8, 4)]


@given(
    st.lists(
        st.tuples(st.integers(1, 50), st.integers(2, 12), st.integers(0, 15), st.integers(0, 20)),
        min_size=1,
        max_size=10,
    )
)
def test_counting_steps_is_the_same_as_touching_each_request(
    wanted: list[tuple[int, int, int, int]],
) -> None:
    """Against brute force, with joins and cancels at any step."""
    schedule = DecodeSchedule()
    plain: dict[int, int] = {}  # request -> tokens it has
    made = {i: decoding(i, p, o) for i, (p, o, _, _) in enumerate(wanted)}
    for step in range(40):
        for i, (_, _, joins, cancelled) in enumerate(wanted):
            if joins == step:
                schedule.add(made[i])
                plain[i] = 1
            if cancelled == step and i in plain:
                made[i].fire(RequestEvent.CANCEL)
                schedule.remove(made[i])
                del plain[i]
        assert schedule.sequences == len(plain)
        assert schedule.context_tokens == sum(
            made[i].spec.prompt_tokens + have for i, have in plain.items()
        )
        assert {i: schedule.generated(made[i]) for i in plain} == plain
        if plain:
            shortest = min(made[i].spec.output_tokens - have for i, have in plain.items())
            assert schedule.most_steps() == shortest
        done = {request.spec.request_id for request in schedule.stepped(1)}
        plain = {i: have + 1 for i, have in plain.items()}
        assert done == {i for i, have in plain.items() if have == made[i].spec.output_tokens}
        for i in sorted(done):
            made[i].fire(RequestEvent.FINISHED)
            schedule.remove(made[i])
            del plain[i]
    assert all(r.state in (RequestState.ENDED, RequestState.DECODING) for r in made.values())


def test_a_cancelled_one_does_not_end_a_stretch() -> None:
    schedule = DecodeSchedule()
    short, long = decoding(1, 4, 3), decoding(2, 4, 9)
    schedule.add(short)
    schedule.add(long)
    short.fire(RequestEvent.CANCEL)
    schedule.remove(short)
    assert schedule.most_steps() == 8
    assert [r.spec.request_id for r in schedule.stepped(8)] == [2]
