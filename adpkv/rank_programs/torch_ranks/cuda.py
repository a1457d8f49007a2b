"""CUDA tensors as CPU tensors, where there is no GPU: programs name their device, and the order of
their collectives does not depend on it.

Only for programs that name CUDA: a mode that looks at each call of torch costs time.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.overrides import TorchFunctionMode

__all__ = ["CudaAsCpu"]


def _is_cuda(device: Any) -> bool:
    if isinstance(device, torch.device):
        return bool(device.type == "cuda")
    if isinstance(device, int) and not isinstance(device, bool):
        return True  # a bare number is a GPU's
    return isinstance(device, str) and device.partition(":")[0] == "cuda"


def _on_cpu(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple("cpu" if _is_cuda(argument) else argument for argument in arguments)


class _Mode(TorchFunctionMode):  # type: ignore[misc]
    """Every call of torch with a CUDA device is made with the CPU."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), named: Any = None
    ) -> Any:
        named = dict(named or {})
        name = getattr(function, "__name__", "")
        if name in ("cuda", "pin_memory") and args and isinstance(args[0], torch.Tensor):
            return args[0]
        if _is_cuda(named.get("device")):
            named["device"] = "cpu"
        if name == "to":
            args = args[:1] + _on_cpu(args[1:])
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

    def is_capturing(self) -> bool:
        """Is a graph being captured?"""
        return False

    def elapsed_time(self, other: Any) -> float:
        """Milliseconds between two events."""
        return 0.0

    def _nothing(self, *_: Any, **__: Any) -> None:
        pass

    record = synchronize = wait = wait_event = wait_stream = record_event = _nothing


class CudaAsCpu:
    """To be used as a context around a number of schedules."""

    def __init__(self, count: int) -> None:
        """`count`: how many GPUs the program sees."""
        self._count = count
        self._undo = contextlib.ExitStack()
        self._modes: dict[int, Any] = {}

    def __enter__(self) -> CudaAsCpu:
        nothing = _Nothing()
        cuda: dict[str, Any] = {
            "is_available": lambda: True,
            "device_count": lambda: self._count,
            "current_device": lambda: 0,
            "set_device": lambda device: None,
            "synchronize": lambda device=None: None,
            "empty_cache": lambda: None,
            "is_current_stream_capturing": lambda: False,
            "manual_seed": lambda seed: None,
            "manual_seed_all": lambda seed: None,
            "current_stream": lambda device=None: nothing,
            "stream": lambda stream: nothing,
            "Stream": _Nothing,
            "Event": _Nothing,
        }
        accelerator: dict[str, Any] = {
            "is_available": lambda: True,
            "device_count": lambda: self._count,
            "current_accelerator": lambda check_available=False: torch.device("cuda"),
            "current_device_index": lambda: 0,
            "set_device_index": lambda device: None,
            "current_stream": lambda device=None: nothing,
            "set_stream": lambda stream: None,
            "synchronize": lambda device=None: None,
        }
        for name, answer in cuda.items():
            self._replace(torch.cuda, name, answer)
        if hasattr(torch, "accelerator"):
            for name, answer in accelerator.items():
                self._replace(torch.accelerator, name, answer)
        self._replace_modules()
        return self

    def _replace(self, owner: Any, name: str, by: Any) -> None:
        self._undo.callback(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, by)

    def _replace_modules(self) -> None:
        module, parallel = torch.nn.Module, torch.nn.parallel.DistributedDataParallel
        to, begin = module.to, parallel.__init__

        def moved(self: Any, *args: Any, **named: Any) -> Any:
            if _is_cuda(named.get("device")):
                named["device"] = "cpu"
            return to(self, *_on_cpu(args), **named)

        def begun(self: Any, wrapped: Any, *args: Any, **named: Any) -> None:
            for name in ("device_ids", "output_device"):
                named.pop(name, None)
            begin(self, wrapped, *[None for _ in args[:2]], *args[2:], **named)

        loader, mesh = torch.utils.data.DataLoader, DeviceMesh
        load, span = loader.__init__, mesh.__init__

        def loading(self: Any, *args: Any, **named: Any) -> None:
            load(self, *args, **(named | {"pin_memory": False}))

        def spanning(self: Any, device_type: str, *args: Any, **named: Any) -> None:
            span(self, "cpu" if _is_cuda(device_type) else device_type, *args, **named)

        self._replace(loader, "__init__", loading)
        self._replace(mesh, "__init__", spanning)
        self._replace(module, "to", moved)
        self._replace(module, "cuda", lambda self, device=None: self)
        self._replace(parallel, "__init__", begun)

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
