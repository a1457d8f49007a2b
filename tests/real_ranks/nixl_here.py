"""Whether NIXL can be used here; its tests are skipped with the reason where it cannot."""

from __future__ import annotations

import pytest

from adpkv.errors import UsageError

__all__ = ["needs_nixl"]


def _lacks() -> str:
    from adpkv.transport.nixl_agent import library

    try:
        library()
    except UsageError as error:
        return str(error)
    return ""


needs_nixl = pytest.mark.skipif(bool(_lacks()), reason=_lacks() or "it is here")
