"""Explores under a planted mutation, in a process of its own: `python -m tests.mutants.hunt N S`.

The last line says what was found: JSON with the signature, the variant and how many seeds it took.
"""

from __future__ import annotations

import json
import os
import sys
import time

from tests.mutants.planting import NUMBER

SEEDS_AT_A_TIME = 25


def main(number: str, seconds: str) -> None:
    """Explore until something is found, or so many seconds of processor time are spent."""
    os.environ[NUMBER] = number
    import importlib

    import tests.mutants.planting as planting

    importlib.reload(planting)
    from adpkv.exploration.drawing import draw
    from adpkv.exploration.trial import attempt, signature
    from tests.exploration.policies import VARIANTS, where

    seeds, first, began_s = 0, 0, time.process_time()
    while time.process_time() - began_s < float(seconds):
        for variant in VARIANTS:
            for seed in range(first, first + SEEDS_AT_A_TIME):
                seeds += 1
                found = attempt(draw(where(variant=variant), seed)).found
                if found:
                    said = {"signature": signature(found), "variant": variant, "seeds": seeds}
                    print(json.dumps(said))
                    return
        first += SEEDS_AT_A_TIME
    print(json.dumps({"signature": "", "variant": "", "seeds": seeds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
