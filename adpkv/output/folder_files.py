"""The files in a run's folder: their names, where each is, and its summary."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from adpkv.whole_files import MARK, write_whole

__all__ = ["EVIDENCE_FILES", "FOLDERS", "OURS", "UNFINISHED", "FolderFiles", "read_json"]

OURS: Final = re.compile(
    r"config\.yaml|summary\.json|(requests|events|ranks)\.jsonl|deadlock\.json|timeline"
    r"|rings|fr_trace|plots|events\.-?\d+\.part|ranks\.\d+\.part|report\.html"
    r"|timeline\.perfetto-trace|summary\.json\.\d+\.tmp"
)
"""Every name that a run gives to a file of its folder, but for `UNFINISHED`."""

UNFINISHED: Final = re.compile(rf"{re.escape(MARK)}\d+-\d+\.tmp")
"""What `whole_files` leaves anywhere if its process is killed."""

FOLDERS: Final = {
    "rings": re.compile(
        r"rank-\d+\.(ring|stacks|snapshot|tmp)|run\.json(\.tmp)?|group--?\d+-\d+-[0-9a-f]+\.slots"
    ),
    "fr_trace": re.compile(r"rank_\d+"),
    "plots": re.compile(r"[a-z0-9-]+\.(svg|png)"),
    "timeline": re.compile(r"(rank-\d+|coordinator|world)\.records"),
}
"""The folders inside it, which only some runs leave, and every name in them."""

EVIDENCE_FILES: Final = ("summary.json", "requests.jsonl", "events.jsonl")
"""A folder with `config.yaml` alone could be a user's own; with one of these it is a run's."""


class FolderFiles:
    """Those of the folder at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def told(self) -> Path:
        """Its path for people: from the working folder, if it is in that. Which may be gone, as
        somebody may remove it while a run goes on."""
        try:
            return self.path.relative_to(Path.cwd())
        except (OSError, ValueError):
            return self.path

    @property
    def config(self) -> Path:
        """The experiment as resolved."""
        return self.path / "config.yaml"

    @property
    def summary(self) -> Path:
        """The run in one JSON object."""
        return self.path / "summary.json"

    @property
    def requests(self) -> Path:
        """One line per request."""
        return self.path / "requests.jsonl"

    @property
    def events(self) -> Path:
        """One line per event."""
        return self.path / "events.jsonl"

    @property
    def deadlock(self) -> Path:
        """Why the ranks could not go on together; only where they could not."""
        return self.path / "deadlock.json"

    @property
    def fr_trace(self) -> Path:
        """The last collectives of each rank, as PyTorch's tools read them; where they got stuck."""
        return self.path / "fr_trace"

    @property
    def timeline(self) -> Path:
        """What a timeline is made of, where the run has one."""
        return self.path / "timeline"

    def events_part(self, rank: int) -> Path:
        """One process's events until they are merged; the coordinator's rank is -1."""
        return self.path / f"events.{rank}.part"

    def events_parts(self) -> list[Path]:
        """The parts that exist."""
        return sorted(self.path.glob("events.*.part"))

    @property
    def samples(self) -> Path:
        """How each rank was over time."""
        return self.path / "ranks.jsonl"

    def samples_part(self, rank: int) -> Path:
        """One rank's samples until they are joined."""
        return self.path / f"ranks.{rank}.part"

    def samples_parts(self) -> list[Path]:
        """The parts that exist."""
        return sorted(self.path.glob("ranks.*.part"))

    def write_summary(self, summary: Mapping[str, object]) -> None:
        """Write `summary.json` whole or not at all."""
        write_whole(self.summary, json.dumps(summary, indent=2) + "\n")

    def begun(self) -> int | None:
        """A stamp of the run that began here last; None where none has."""
        with suppress(OSError):
            said = self.config.stat()
            return said.st_mtime_ns if said.st_size else None
        return None

    def read_code(self) -> tuple[int, int] | None:
        """The exit code that a complete `summary.json` says, and a stamp that no other summary at
        this place has; None where there is none."""
        try:
            stamp = self.summary.stat().st_mtime_ns
            code = read_json(self.summary)["exit_code"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return (code, stamp) if isinstance(code, int) else None

    def write_first_summary(self, summary: Mapping[str, object]) -> bool:
        """The same for a run that was broken off, where several processes may try: only the first
        writes; False for the others."""
        temporary = self.summary.with_name(f"summary.json.{os.getpid()}.tmp")
        try:
            temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
            os.link(temporary, self.summary)
        except FileExistsError:
            return False
        finally:
            with suppress(OSError):
                temporary.unlink()
        return True


def read_json(path: Path) -> Any:
    """What a JSON file of a run holds, which somebody may have edited since.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, or nested deeper than any file of a run.
    """
    try:
        return json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError("nested too deeply") from None
