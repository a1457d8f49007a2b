"""What stands at a path when a file is written there: a pipe, a link, a file of some mode."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from adpkv.whole_files import MARK, whole, write_whole


def test_a_pipe_is_written_straight_through(tmp_path: Path) -> None:
    pipe, got = tmp_path / "pipe", [b""]
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, "said")
    reader.join(10)
    assert got[-1] == b"said"
    assert pipe.is_fifo()


def test_an_open_file_that_was_removed(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+") as file:
        (tmp_path / "file").unlink()
        write_whole(Path(f"/dev/fd/{file.fileno()}"), "said")
        file.seek(0)
        assert file.read() == "said"
    assert list(tmp_path.iterdir()) == []


def test_what_is_open_is_written_behind_what_it_has(tmp_path: Path) -> None:
    """As by `adpkv trace ... --out /dev/stdout >> file`."""
    link = tmp_path / "link"
    with (tmp_path / "file").open("a+") as file:
        link.symlink_to(f"/proc/self/fd/{file.fileno()}")
        file.write("before ")
        file.flush()
        for path in (Path(f"/dev/fd/{file.fileno()}"), link):
            write_whole(path, "said ")
        file.write("after")
    assert (tmp_path / "file").read_text() == "before said said after"
    assert {path.name for path in tmp_path.iterdir()} == {"file", "link"}


def test_the_output_of_a_command_is_written_to(tmp_path: Path) -> None:
    program = "from adpkv.whole_files import write_whole; from pathlib import Path; print('first')"
    program += "; write_whole(Path('/dev/stdout'), 'said')"
    with (tmp_path / "file").open("w") as file:
        subprocess.run([sys.executable, "-c", program], stdout=file, check=True, timeout=60)
        assert (tmp_path / "file").stat().st_ino == os.fstat(file.fileno()).st_ino
    assert (tmp_path / "file").read_text() == "first\nsaid"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert done.stdout == b"first\nsaid"


def test_what_is_open_to_be_read_only_is_no_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    with (tmp_path / "file").open() as file, pytest.raises(OSError, match="Bad file"):
        write_whole(Path(f"/dev/fd/{file.fileno()}"), "said")
    assert (tmp_path / "file").read_text() == "before"


def test_a_link_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    links = tmp_path / "link", tmp_path / "to-nothing-yet"
    for link in links:
        link.symlink_to(tmp_path / "there" / link.name)
    (tmp_path / "there" / "link").write_text("before")
    for link in links:
        write_whole(link, "said")
        assert link.is_symlink()
        assert (tmp_path / "there" / link.name).read_text() == "said"


def test_a_file_keeps_its_mode_and_a_new_one_has_the_usual(tmp_path: Path) -> None:
    own, new, usual = tmp_path / "own", tmp_path / "new", tmp_path / "usual"
    own.touch()
    own.chmod(0o640)
    usual.touch()
    with whole(own) as temporary:
        assert temporary.stat().st_mode & 0o777 == 0o600
    write_whole(new, "said")
    assert own.stat().st_mode & 0o777 == 0o640
    assert new.stat().st_mode == usual.stat().st_mode


def test_nothing_else_is_touched(tmp_path: Path) -> None:
    """Neither a user's own file nor one that is being written by somebody else."""
    longest = "x" * os.pathconf(tmp_path, "PC_NAME_MAX")
    (tmp_path / "file.tmp").write_text("own")
    with whole(tmp_path / "file") as temporary, whole(tmp_path / "file") as other:
        temporary.write_text("last")
        other.write_text("first")
    write_whole(tmp_path / longest, "said")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "file": "last",
        "file.tmp": "own",
        longest: "said",
    }


@pytest.mark.parametrize("name", ["gone/file", "file/file", "x" * 5000])
def test_an_error_has_the_name_that_was_given(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=name) as raised:
        write_whole(tmp_path / name, "said")
    assert MARK not in str(raised.value)


def test_a_mounted_file_is_written_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(self: Path, target: Path) -> Path:
        raise OSError(errno.EBUSY, "Device or resource busy", str(self))

    path = tmp_path / "file"
    path.write_text("before, and longer")
    inode = path.stat().st_ino
    monkeypatch.setattr(Path, "replace", busy)
    write_whole(path, "said")
    assert (path.read_text(), path.stat().st_ino) == ("said", inode)
    assert list(tmp_path.iterdir()) == [path]
