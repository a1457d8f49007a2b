"""What holds for all tests: none fails because a machine was slow for a moment."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("adpkv", deadline=None)
settings.load_profile("adpkv")
