"""Mutations that nothing can notice, by their name, each with the reason."""

from __future__ import annotations

from typing import Final

__all__ = ["ARGUED"]

ARGUED: Final[dict[str, str]] = {
    "core.session_book: SessionBook.fire: swap: self._note(session, before, event, now_ns)": (
        "the journal gets references, and nobody reads it before the call is over"
    ),
    "executor.context: ContextServing.finish: swap: self.transceiver.prepare(session, blocks)": (
        "one changes the session alone, the other the request alone, and neither reads the other"
    ),
    "executor.coordinator: Coordinator._end: swap:"
    " self._on_record(request.record(outcome, detail, last, now_ns": (
        "a record and an event go to two files, of the same instant"
    ),
    "executor.serving: Serving.end: swap: self.owner.acted(request.spec.request_id)": (
        "letting a request go does not look at votes, and a vote not at requests"
    ),
}
"""Those that are gone by now do no harm."""
