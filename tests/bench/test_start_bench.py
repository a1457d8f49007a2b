"""The bench of starts, tiny."""

from __future__ import annotations

from adpkv.bench.start import start


def test_each_start_is_shown_beside_a_python_that_does_nothing() -> None:
    found = start(turns=1)
    assert [one.name for one in found] == [
        "start, adpkv --help",
        "start, adpkv simulate --help",
        "start, a typing error",
        "start, adpkv simulate quickstart",
    ]
    assert all(one.value > 0 and one.reference_name == "python -c pass" for one in found)
    assert [one.target for one in found] == [*["value <= 0.15"] * 3, "value <= 0.5"]
    assert "s of processor time" in found[0].note
