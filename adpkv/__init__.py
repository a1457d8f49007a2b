"""adpkv: disaggregated KV-cache serving with attention data parallelism, run and simulated.

::

    import adpkv

    experiment = adpkv.load("quickstart", set={"workload.rate": 40})
    result = adpkv.simulate(experiment)
    print(result)

`import adpkv` imports none of its submodules and has no side effect. A public name is imported when
it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from adpkv.api import explore, load, load_run, load_sweep, run, simulate, sweep, write_report
    from adpkv.config import Experiment
    from adpkv.errors import (
        AdpkvError,
        ConfigError,
        MissingPieceError,
        StuckError,
        TraceError,
        UsageError,
    )
    from adpkv.exit_codes import ExitCode
    from adpkv.exploration.result import Exploration
    from adpkv.results import Result
    from adpkv.sweeps.result import Sweep

__version__ = "0.1.0"

__all__ = [
    "AdpkvError",
    "ConfigError",
    "ExitCode",
    "Experiment",
    "Exploration",
    "MissingPieceError",
    "Result",
    "StuckError",
    "Sweep",
    "TraceError",
    "UsageError",
    "__version__",
    "explore",
    "load",
    "load_run",
    "load_sweep",
    "run",
    "simulate",
    "sweep",
    "write_report",
]

_PLACES: Final = {
    **dict.fromkeys(
        ("explore", "load", "load_run", "load_sweep", "run", "simulate", "sweep", "write_report"),
        "adpkv.api",
    ),
    "Experiment": "adpkv.config",
    "ExitCode": "adpkv.exit_codes",
    "Exploration": "adpkv.exploration.result",
    "Result": "adpkv.results",
    "Sweep": "adpkv.sweeps.result",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'adpkv' has no attribute {name!r}")
    return getattr(import_module(_PLACES.get(name, "adpkv.errors")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
