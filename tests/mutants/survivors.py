"""Mutations that nothing can notice, by their name, each with the reason."""

from __future__ import annotations

from typing import Final

__all__ = ["ARGUED"]

ARGUED: Final[dict[str, str]] = {
    "core.health_watch: HealthWatch.check: boundary:"
    " if silent_ns <= self._limits.progress_deadline_ns:": (
        "at the deadline itself the whole rule is asked, and says that nothing is wrong"
    ),
    "core.router: _assign: swap: ranks.overtaking.assigned(ranks, rank, spec)": (
        "who was assigned what is told to two lists, and neither is made by the other"
    ),
    "core.transceiver: Transceiver._admit: swap:"
    " self.book.set_slot(session, self._slots.number(session))": (
        "what is to be sent names the session, and is read when both are done"
    ),
    "core.waiting: _Log.add: swap: self.lanes.setdefault(lane_of(spec), deque()).append(place)": (
        "a place is noted in two tables, of which neither is read in between"
    ),
    "executor.context: ContextServing.finish: swap: self.transceiver.prepare(session, blocks)": (
        "one changes the session alone, the other the request alone, and neither reads the other"
    ),
    "executor.coordinator: Coordinator._end: swap:"
    " self._on_record(request.record(outcome, detail, last, now_ns": (
        "a record and an event go to two files, of the same instant"
    ),
    "executor.phases: Phases.survive: drop: self.group_input = ()": (
        "a leader takes its messages anew, those that it has put back too, before it awaits"
    ),
    "executor.serving: Serving.end: swap: self.owner.acted(request.spec.request_id)": (
        "letting a request go does not look at votes, and a vote not at requests"
    ),
}
"""Those that are gone by now do no harm."""
