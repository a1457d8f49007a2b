"""A real browser, or the reason why there is none; and the pages that it looks at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import adpkv
from tests.reports.conftest import run, sweep

__all__ = ["run", "sweep"]

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, driven by Playwright."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("no Playwright: make test-browser installs it")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is here")
    with sync_playwright() as playwright:
        # Root may not have a sandbox; the pages are our own.
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def run_page(run: Path) -> Path:
    """The report of a run."""
    return adpkv.write_report(run)[0]


@pytest.fixture(scope="session")
def sweep_page(sweep: Path) -> Path:
    """The report of a sweep."""
    return adpkv.write_report(sweep)[0]
