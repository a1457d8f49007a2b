"""For every process that tests start with `--collectives quick`: collectives through shared memory
are those of `quick.c`.

Python imports it as it starts, before anything of adpkv: this folder is first in PYTHONPATH then.
"""

from __future__ import annotations

import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from os import environ

NAME = "adpkv.flight_recorder.quick"
_spec = spec_from_file_location(
    NAME, environ["ADPKV_TEST_QUICK"], loader=ExtensionFileLoader(NAME, environ["ADPKV_TEST_QUICK"])
)
assert _spec is not None
sys.modules[NAME] = module_from_spec(_spec)
