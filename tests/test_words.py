"""One word a thing: none of the words that the glossary has replaced is left in code, texts,
events or messages.

Names are taken apart first (`_late_word`, `LateWord`), so that they count like sentences.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from adpkv.config import load
from adpkv.errors import StuckError
from adpkv.field_policies import assembly
from adpkv.worlds.virtual.run import simulate

ROOT = Path(__file__).resolve().parent.parent

REPLACED = {
    # The word of the glossary, and what it has replaced.
    "collective": r"meetings?|passages?|per join",
    "message": r"mail|wake words?|(?:late|lost|former) words?|words? (?:about|from) ",
    "communicator, link": r"wires?",
    "attempt": r"(?:former|another|same|new) (?:life|lives)",
    "failed rank": r"dead|deaths?|bury|buried|burials?|mourn\w*|lost ranks?",
    "terminal, agreed, drained": r"settled?|settling",
    "inbox age": r"news|unread ends?",
    "snapshot": r"witness(?:es)?|testimon(?:y|ies)|testify",
    "position": r"standings?(?! still)",
    "diagnosis, vote, violation": r"verdicts?",
    "backoff": r"naps?|napping",
    "scheduled fault": r"strikes?|strikers?|struck",
    "coordinator": r"desks?",
    "successor": r"heirs?",
    "event queue": r"agendas?",
    "transfers": r"couriers?",
}
ALLOWED = re.compile(r"on the wire|wire format|longstanding")
INTERFACES = re.compile(r"mail_latency|dead-rank|late-word-about-a-reused-id|\"deaths\"")
"""Keys of experiments and their names: files of users have them, so they stay as they are. And the
text that random experiments are drawn by: their seeds would mean others."""

SKIPPED = ("tests/test_words.py", "tests/renaming/", "tests/launch/mpijob_schema.yaml", "LICENSE")
TEXT = {".py", ".md", ".toml", ".yaml", ".sh", ".txt", ".sbatch", ""}
FORBIDDEN = re.compile(rf"\b(?:{'|'.join(REPLACED.values())})\b")


def old_words(text: str) -> list[str]:
    """The replaced words in a text, names in it taken apart."""
    own = INTERFACES.sub("", text)
    apart = re.sub(r"_|(?<=[a-z0-9])(?=[A-Z])", " ", own).lower()
    return FORBIDDEN.findall(ALLOWED.sub("", apart))


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("no checkout: the files of the repository are not known")
    return [
        ROOT / name for name in done.stdout.split("\0") if name and not name.startswith(SKIPPED)
    ]


def test_no_old_word_is_left_in_code_or_texts() -> None:
    found = []
    for path in tracked():
        if path.suffix not in TEXT or not path.is_file():
            continue
        name = str(path.relative_to(ROOT))
        found += [f"{name}: its own name: {word}" for word in old_words(name)]
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            found += [f"{name}:{number}: {word}: {line.strip()[:80]}" for word in old_words(line)]
    assert found == []


@pytest.mark.parametrize(
    "config", ["dead-rank", "regressions/05-wedged-transfer", "regressions/15-dead-rank"]
)
def test_no_old_word_is_left_in_what_a_run_says(config: str, tmp_path: Path) -> None:
    experiment = load(ROOT / "configs" / f"{config}.yaml")
    said = ""
    try:
        simulate(experiment, out=tmp_path / "run", assemble=assembly(experiment))
    except StuckError as error:
        said = str(error)
    files = [p for p in (tmp_path / "run").iterdir() if p.suffix in (".json", ".jsonl")]
    assert files
    assert old_words(said + "".join(p.read_text() for p in files)) == []


@pytest.mark.parametrize(
    "text", ["the last meeting", "class LeaderMail:", "self._dead", "SLOW_MAIL", "a late word"]
)
def test_an_old_word_is_seen(text: str) -> None:
    assert old_words(text)


@pytest.mark.parametrize(
    "text",
    [
        "a deadline",
        "deadlock",
        "mailbox",
        "on the wire",
        "their",
        "it is standing still",
        "mail_latency",
    ],
)
def test_an_ordinary_word_is_not(text: str) -> None:
    assert old_words(text) == []
