"""Writes a new experiment file: a copy of one that comes with adpkv, under another name.

It is a copy with all comments and not a separate template, because these experiments are tested.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

from adpkv.config.document import Malformed, parse_scalar
from adpkv.config.shipped import near, shipped_file
from adpkv.errors import UsageError

__all__ = ["DEFAULT_SOURCE", "start_file"]

DEFAULT_SOURCE: Final = "quickstart"

_NAME_LINE: Final = re.compile(r"^name: \S+( +#.*)?$", re.MULTILINE)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def start_file(name: str, source: str = DEFAULT_SOURCE) -> Path:
    """Write NAME.yaml (or NAME if it ends so) and return its path. No file is overwritten.

    The experiment in it is named after the file, and so are the commands in its comments.

    Args:
        name: the new experiment's name or file.
        source: the name of the experiment to copy.

    Raises:
        UsageError: the file exists or cannot be written, the name is not valid, or there is no
            experiment `source`.
    """
    path = Path(name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
    own = path.stem
    if not _NAME.fullmatch(own) or not isinstance(_scalar(own), str):
        raise UsageError(
            f"{name!r}: an experiment needs a name of up to 64 ASCII letters, digits, `.`, `_` and"
            " `-`, that is no number"
        )
    text = _text_of(source)
    text = _NAME_LINE.sub(lambda found: f"name: {own}{found[1] or ''}", text, count=1)
    text = text.replace(f"runs/{source}-", f"runs/{own}-")
    command = re.compile(rf"(adpkv (?:run|simulate|validate) ){re.escape(source)}(?![\w-])")
    text = command.sub(lambda found: found[1] + shlex.quote(str(path)), text)
    try:
        _write_new(path, text)
    except FileExistsError:
        raise UsageError(f"{path}: is there already, and is left as it is") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    return path


def _write_new(path: Path, text: str) -> None:
    """On a full disk nothing is left: an empty file would be taken for an experiment next time."""
    with path.open("x", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except BaseException:
            path.unlink()
            raise


def _text_of(source: str) -> str:
    file = shipped_file(source)
    if file is None:
        names = near(Path(source))
        hint = f"did you mean {' or '.join(names)}?" if names else "`adpkv configs` lists them"
        raise UsageError(f"there is no experiment {source!r} to start from; {hint}")
    return file.read_text(encoding="utf-8")


def _scalar(text: str) -> object:
    try:
        return parse_scalar(text)
    except Malformed:
        return None
