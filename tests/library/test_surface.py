"""What is public: a change of it is a decision, and changes this file."""

from __future__ import annotations

import inspect

import pytest

import adpkv

PUBLIC = {
    "AdpkvError": "exception",
    "ConfigError": "exception",
    "ExitCode": "class",
    "Experiment": "class",
    "Exploration": "class",
    "MissingPieceError": "exception",
    "Result": "class",
    "StuckError": "exception",
    "Sweep": "class",
    "TraceError": "exception",
    "UsageError": "exception",
    "__version__": "str",
    "explore": "(experiment, *, set=None, seeds=None, for_s=None, strategy='random', jobs=None,"
    " finds=None, out=None, on_progress=None)",
    "load": "(source, *, set=None)",
    "load_run": "(path)",
    "load_sweep": "(path)",
    "run": "(experiment, *, set=None, ranks=None, out=None, timeout_s=None, workload=None,"
    " model=None, policy=None, memory=None, transport=None)",
    "simulate": "(experiment, *, set=None, seed=None, out=None, jump=True, workload=None,"
    " model=None, policy=None, memory=None, transport=None)",
    "sweep": "(experiment, *, vary=None, zip=(), design=None, points=None, seeds=None, set=None,"
    " world='virtual', jobs=None, limit_s=None, out=None, keep=False, on_progress=None)",
    "write_report": "(source, out=None, *, format='html', plots=(), theme='light')",
}


def shape(value: object) -> str:
    if inspect.isclass(value):
        return "exception" if issubclass(value, adpkv.AdpkvError) else "class"
    if not callable(value):
        return type(value).__name__
    signature = inspect.signature(value)
    bare = [
        one.replace(annotation=inspect.Parameter.empty) for one in signature.parameters.values()
    ]
    return str(inspect.Signature(bare))


def test_the_public_names_are_these() -> None:
    assert {name: shape(getattr(adpkv, name)) for name in adpkv.__all__} == PUBLIC
    assert set(adpkv.__all__) <= set(dir(adpkv))


@pytest.mark.parametrize("name", sorted(PUBLIC.keys() - {"__version__"}))
def test_each_is_documented(name: str) -> None:
    assert inspect.getdoc(getattr(adpkv, name))


def test_result_has_these() -> None:
    shown = {name for name in dir(adpkv.Result) if not name.startswith("_")}
    assert shown == {
        "damage", "events", "exit_code", "experiment", "folder", "outcome", "raise_if_stuck",
        "report", "requests", "samples", "summary", "to_dict", "violations", "without_folder",
    }  # fmt: skip


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        adpkv.simulat  # noqa: B018


def test_the_ports_and_the_suites() -> None:
    from adpkv import ports, testing

    assert sorted(ports.__all__) == [
        "Arrival", "Batch", "EndKind", "Load", "Memory", "MemorySetting", "Model", "NEVER",
        "Policy", "Proof", "RealMemory", "RealTransportSetting", "RequestSpec", "ReuseWatch",
        "Transfer",
        "Transport", "TransportEnd", "TransportSetting", "VirtualMemory", "Workload",
    ]  # fmt: skip
    assert sorted(testing.__all__) == [
        "MEMORY", "MODEL", "MemoryRig", "ModelRig", "Mortal", "Pair", "TRANSPORT",
        "TRANSPORT_KILLED", "WORKLOAD", "WorkloadRig", "check_memory", "check_model",
        "check_transport", "check_transport_killed", "check_workload",
    ]  # fmt: skip
