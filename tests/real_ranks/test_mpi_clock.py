"""The clocks of the ranks, by which `events.jsonl` is put in order."""

from __future__ import annotations


def test_on_one_machine_no_effect_is_before_its_cause(program) -> None:
    """A rank that is scheduled late after the others began must not begin later than they."""
    found = program("clock", 8)
    assert found.code == 0, found.err
    assert found.out.strip() == "fine"
