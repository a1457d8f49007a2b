"""The experiments that come with adpkv, and their names.

They are in `configs/` of the repository; a wheel has a copy of that folder in the package. A name
is the path in that folder without `.yaml`: `quickstart`, `regressions/08-late-write`.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Final

import msgspec

from adpkv.errors import UsageError

__all__ = ["REGRESSIONS", "Found", "Shipped", "find", "folder", "near", "shipped", "shipped_file"]

REGRESSIONS: Final = "regressions"
"""The folder of the regressions (failures of real systems) in `configs/`."""

SUFFIX: Final = ".yaml"
MOST_NEAR: Final = 3
NEAR: Final = 0.6
"""How similar a name must be for a "did you mean" (`difflib`'s ratio)."""

_PACKAGE: Final = Path(__file__).parents[1]
_SENTENCE: Final = re.compile(r".*?\.(?=\s|$)")


class Shipped(msgspec.Struct, frozen=True):
    """An experiment that comes with adpkv."""

    name: str
    path: Path

    def about(self) -> str:
        """The first sentence of the comment at the beginning of the file."""
        lines = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            text = line.removeprefix("#").strip()
            if not line.startswith("#") or not text:
                break
            lines.append(text)
        text = " ".join(lines)
        sentence = _SENTENCE.match(text)
        return (sentence[0] if sentence else text).rstrip(".")


class Found(msgspec.Struct, frozen=True):
    """The file for a given path or name. `note`: a text for the user if both exist."""

    path: Path
    note: str = ""


def folder() -> Path:
    """The folder `configs`: in the package, or beside it in a checkout.

    Raises:
        UsageError: there is none.
    """
    for place in (_PACKAGE, _PACKAGE.parent):
        found = place / "configs"
        if (found / REGRESSIONS).is_dir():
            return found
    raise UsageError("the experiments of adpkv are not here: install it again")


def shipped() -> list[Shipped]:
    """All experiments that come with adpkv: ordinary ones, then regressions, each sorted by name.
    Empty if the package was copied without them; experiments can still be given by file."""
    try:
        root = folder()
    except UsageError:
        return []
    own, failures = sorted(root.glob(f"*{SUFFIX}")), sorted((root / REGRESSIONS).glob(f"*{SUFFIX}"))
    return [
        Shipped(path.relative_to(root).with_suffix("").as_posix(), path)
        for path in [*own, *failures]
    ]


def shipped_file(name: str) -> Path | None:
    """The file of the experiment with this name; None if there is none."""
    return next((one.path for one in shipped() if one.name == name), None)


def named(file: Path) -> str:
    """The name of an experiment file for people: its name if it comes with adpkv, else its path."""
    return next((one.name for one in shipped() if one.path == file), str(file))


def find(asked: Path) -> Found:
    """The file of an experiment, from a path or a name. A file wins over a name. If `asked` is
    neither, it is returned as it is, and reading it fails."""
    named = shipped_file(str(asked))
    if named is None:
        return Found(asked)
    if os.path.isdir(asked):
        return Found(named, f"{asked} is the experiment of that name, not the folder that is here")
    if os.path.exists(asked):
        return Found(asked, f"{asked} is the file that is here, not the experiment of that name")
    return Found(named)


def near(asked: Path) -> list[str]:
    """Existing files and names similar to `asked`, which does not exist; best first."""
    files = [asked.with_suffix(suffix) for suffix in (SUFFIX, ".yml") if asked.name]
    here = [str(file) for file in files if os.path.isfile(file)]
    names = [one.name for one in shipped()]
    wanted = asked.stem.lower()
    # Such as `configs/quickstart.yaml` in another folder, or a regression without its folder.
    same = [name for name in names if name.rpartition("/")[2] == wanted]
    last = {name.rpartition("/")[2]: name for name in reversed(names)}
    alike = difflib.get_close_matches(wanted, last, n=MOST_NEAR, cutoff=NEAR)
    begun = [name for key, name in last.items() if wanted and key.startswith(wanted)]
    found = [*here, *same, *(last[key] for key in alike), *sorted(begun)]
    return list(dict.fromkeys(found))[:MOST_NEAR]
