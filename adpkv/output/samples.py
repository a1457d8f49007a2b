"""`ranks.jsonl`: how each rank was over time, one line a rank and time, written in batches.

Lines come in the order in which they were written: by time in virtual time, and of a real run rank
by rank, since each process has a part of its own until the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from adpkv.core.sample import RankSample
from adpkv.output.folder import RunFolder
from adpkv.output.json_lines import JsonLines
from adpkv.output.losses import Losses
from adpkv.whole_files import whole

__all__ = ["SampleLog", "join_sample_parts", "read_samples"]

BATCH_SAMPLES: Final = 64
"""Lines kept in memory before they are written: few, since a run that is killed loses them."""


class SampleLog(JsonLines[RankSample]):
    """Writes samples to a file in the order in which they are taken."""

    def __init__(self, path: Path, losses: Losses | None = None) -> None:
        super().__init__(path, BATCH_SAMPLES, losses)


def join_sample_parts(folder: RunFolder, losses: Losses) -> None:
    """Make `ranks.jsonl` of every rank's part, one after the other. The parts are removed when the
    whole is there; if it cannot be written, they stay."""
    parts = folder.samples_parts()
    if not parts:
        return
    try:
        with whole(folder.samples) as temporary, temporary.open("wb") as out:
            for part in parts:
                lines = part.read_bytes()
                # The last one is not whole if its writer was killed in it.
                out.write(lines[: lines.rfind(b"\n") + 1])
        for part in parts:
            part.unlink()
    except OSError as error:
        losses.note(folder.samples.name, error)


def read_samples(folder: RunFolder) -> Iterator[RankSample]:
    """The lines that a run has written so far; what cannot be read is left out."""
    decode = msgspec.json.Decoder(RankSample).decode
    whole = folder.samples
    for path in [whole] if whole.exists() else folder.samples_parts():
        with suppress(OSError), path.open("rb") as file:
            for line in file:
                with suppress(ValueError, RecursionError):
                    yield decode(line)
