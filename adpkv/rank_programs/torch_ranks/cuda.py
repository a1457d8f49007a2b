"""CUDA tensors as CPU tensors, where there is no GPU: programs name their device, and the order of
their collectives does not depend on it.

Only for programs that name CUDA: a mode that looks at each call of torch costs time.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["CudaAsCpu"]


def _is_cuda(device: Any) -> bool:
    if isinstance(device, torch.device):
        return bool(device.type == "cuda")
    return isinstance(device, str) and device.partition(":")[0] == "cuda"


class _Mode(TorchFunctionMode):  # type: ignore[misc]
    """Every call of torch with a CUDA device is made with the CPU."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), named: Any = None
    ) -> Any:
        named = dict(named or {})
        name = getattr(function, "__name__", "")
        if name == "cuda" and args and isinstance(args[0], torch.Tensor | torch.nn.Module):
            return args[0]
        if _is_cuda(named.get("device")):
            named["device"] = "cpu"
        if any(_is_cuda(argument) for argument in args) and name in ("to", "new_empty", "type"):
            args = tuple("cpu" if _is_cuda(argument) else argument for argument in args)
        return function(*args, **named)


class _Nothing:
    """Stands for a stream or an event: everything is done as it is called."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __enter__(self) -> _Nothing:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def query(self) -> bool:
        """Is it done?"""
        return True

    def elapsed_time(self, other: Any) -> float:
        """Milliseconds between two events."""
        return 0.0

    def _nothing(self, *_: Any, **__: Any) -> None:
        pass

    record = synchronize = wait = wait_event = wait_stream = record_event = _nothing


class CudaAsCpu:
    """To be used as a context around a number of schedules."""

    def __init__(self) -> None:
        self._undo = contextlib.ExitStack()
        self._modes: dict[int, Any] = {}

    def __enter__(self) -> CudaAsCpu:
        nothing = _Nothing()
        answers: dict[str, Any] = {
            "is_available": lambda: True,
            "device_count": lambda: 8,
            "current_device": lambda: 0,
            "set_device": lambda device: None,
            "synchronize": lambda device=None: None,
            "empty_cache": lambda: None,
            "manual_seed": lambda seed: None,
            "manual_seed_all": lambda seed: None,
            "current_stream": lambda device=None: nothing,
            "stream": lambda stream: nothing,
            "Stream": _Nothing,
            "Event": _Nothing,
        }
        for name, answer in answers.items():
            self._undo.callback(setattr, torch.cuda, name, getattr(torch.cuda, name))
            setattr(torch.cuda, name, answer)
        self._replace_module_cuda()
        return self

    def _replace_module_cuda(self) -> None:
        before = torch.nn.Module.cuda
        self._undo.callback(setattr, torch.nn.Module, "cuda", before)
        torch.nn.Module.cuda = lambda module, device=None: module

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def enter_thread(self) -> None:
        """In each rank's thread, as its program begins."""
        import threading

        mode = _Mode()
        mode.__enter__()
        self._modes[threading.get_ident()] = mode

    def leave_thread(self) -> None:
        """In the same thread, as it ends."""
        import threading

        self._modes.pop(threading.get_ident()).__exit__(None, None, None)
