"""The control groups (cgroups) that this process is in: where the limits of its container are set.

Any group from the process's own up to the root may set a limit; the smallest one counts. Version 1
has one tree per controller. In a container the process's own group may be mounted as the root,
whatever its path says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["CGROUPS", "CGROUP_OF_SELF", "groups_above"]

CGROUPS: Final = Path("/sys/fs/cgroup")
CGROUP_OF_SELF: Final = Path("/proc/self/cgroup")


def groups_above(
    controller: str, cgroups: Path = CGROUPS, of_self: Path = CGROUP_OF_SELF
) -> list[Path]:
    """The folders of the groups that this process is in, each from its own up to the root.

    They come in the order in which the system lists them, of version 1 or 2. Some may not exist.
    """
    try:
        lines = of_self.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = cgroups / controllers if controllers else cgroups
        own = root / path.lstrip("/")
        for place in [own, *own.parents]:
            found.append(place)
            if place == root:
                break
    return found
