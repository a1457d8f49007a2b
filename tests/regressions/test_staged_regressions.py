"""With staging the failures of the field are what they were, but for those that are about blocks,
which no peer touches then: their files say `staging: off`."""

from __future__ import annotations

import pytest

from adpkv.field_policies import assembly
from adpkv.regressions.catalogue import read
from adpkv.regressions.running import examine
from tests.regressions.regress_files import FILES

ABOUT_BLOCKS = {"8", "8b", "9", "10", "14", "18", "19", "20", "21", "23"}

DECODED_ONE_MORE = {"4"}
"""It expects how many tokens were decoded at an instant, and packing takes a moment."""


def test_whose_files_pin_it() -> None:
    pinned = {
        one.regression.id for one in read(FILES) if one.experiment.transceiver.staging == "off"
    }
    assert pinned == ABOUT_BLOCKS


@pytest.mark.slow
def test_the_others_hold_with_staging() -> None:
    every = read(FILES, ["transceiver.staging=on"])
    chosen = [one for one in every if one.regression.id not in ABOUT_BLOCKS | DECODED_ONE_MORE]
    assert len(chosen) >= 14
    results = examine(chosen, "virtual", assembly)
    assert [result.scenario.regression.id for result in results if not result.held] == []
