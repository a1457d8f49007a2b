"""Two hosts on one machine: each a set of namespaces, joined by a pair of network interfaces.

A host is what one process holds: its network, its name, its System V memory, its mounts, with a
`/dev/shm` and a `/var/tmp` of its own. Nothing of it has a name outside, so all of it goes with
that process; and that one is killed by the kernel should whoever made it be killed.

The two share cores, process ids and files. So what is meant for the other host only (the folder of
a flight recorder, Open MPI's session) is looked for in that host's mounts, through `/proc`.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Final

from tests.hosts.link import TUN

__all__ = ["Host", "Pair", "Slow", "lacking", "pair", "processes_of"]

ROOT: Final = Path(__file__).parents[2]
NETWORK: Final = "10.77.0.0/24"
DEVICE: Final = "wire0"
TOOLS: Final = ("ip", "unshare", "nsenter", "setpriv")
NAMESPACES: Final = ("--net", "--uts", "--ipc", "--mount")
BOUND_S: Final = 20
LOOK_S: Final = 0.05

ENDS_WITH_PARENT: Final = ("setpriv", "--pdeathsig", "KILL")
OWN: Final = ("/dev/shm", "/var/tmp")

HOLD: Final = """
set -e
hostname "$1"
mount -t tmpfs none /dev/shm
mount -t tmpfs none /var/tmp
ip link set lo up
echo held
exec sleep infinity
"""

KNOCK: Final = """
import socket, sys
with socket.socket() as knocking:
    knocking.settimeout(1)
    print(knocking.connect_ex((sys.argv[1], 9)))
"""
"""Nobody listens there: who is refused has had an answer, so packets go both ways."""

AGENT: Final = """#!/bin/sh
# What Open MPI takes for ssh: [FLAGS] ADDRESS COMMAND...
while :; do case $1 in -*) shift ;; *) break ;; esac; done
case $1 in {cases} *) echo "no such host: $1" >&2; exit 255 ;; esac
shift
exec nsenter -t "$holder" {namespaces} -- env TMPDIR=/var/tmp sh -c "$*"
"""


def lacking() -> str:
    """Why hosts cannot be made here; nothing if they can."""
    if os.geteuid() != 0:
        return "two hosts on one machine take root"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"two hosts on one machine take {', '.join(missing)}: apt-get install iproute2"
    if not os.access(TUN, os.R_OK | os.W_OK):
        return f"a slow link takes {TUN}"
    made = ["unshare", *NAMESPACES, "ip", "link", "add", DEVICE, "type", "veth"]
    tried = subprocess.run(made, capture_output=True, text=True, timeout=BOUND_S, check=False)
    return f"no namespaces may be made here: {tried.stderr.strip()}" if tried.returncode else ""


def processes_of(network: str) -> list[int]:
    """All processes in this network, which is what `/proc/PID/ns/net` points to."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.readlink(place / "ns/net") == network:
                found.append(int(place.name))
    return found


class Host:
    """One of them, from its making to `end`."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        hold = ["unshare", *NAMESPACES, "sh", "-c", HOLD, "sh", name]
        self._holder = subprocess.Popen(
            [*ENDS_WITH_PARENT, *hold],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._holder.pid
        """Of the process that holds it."""
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "held\n", "a host was not made"
        self._network = os.readlink(f"/proc/{self.pid}/ns/net")

    def inside(self, *command: str) -> list[str]:
        """The command that does the same on this host, and does not outlive who starts it."""
        entry = [*ENDS_WITH_PARENT, "nsenter", "-t", str(self.pid), *NAMESPACES, "--"]
        return [*entry, "env", "-C", str(ROOT), "TMPDIR=/var/tmp", *command]

    def do(self, *command: str) -> str:
        """Do it there; what it says."""
        done = subprocess.run(
            self.inside(*command), capture_output=True, text=True, timeout=BOUND_S, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def path(self, path: str) -> Path:
        """A path of this host, as whoever is outside reaches it."""
        return Path(f"/proc/{self.pid}/root{path}")

    def processes(self) -> list[int]:
        """All that run there, the holder not counted."""
        return [pid for pid in processes_of(self._network) if pid != self.pid]

    def ranks(self) -> dict[int, int]:
        """The processes that a launcher made ranks there, by their ranks."""
        found = {}
        for pid in self.processes():
            with suppress(OSError):
                words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                said = [w for w in words if w.startswith(b"OMPI_COMM_WORLD_RANK=")]
                found.update({int(word.partition(b"=")[2]): pid for word in said})
        return found

    def sweep(self) -> None:
        """End all that runs there, and take away what it has left."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for path in self.left():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def left(self) -> list[Path]:
        """What has been put into its own folders."""
        return [path for place in OWN for path in self.path(place).iterdir()]

    def end(self) -> None:
        """It is gone, with all that runs there."""
        self.sweep()
        self._holder.kill()
        self._holder.communicate(timeout=BOUND_S)


@dataclass(frozen=True)
class Slow:
    """A link that is no good: how long a packet takes, more or less, and how many get lost."""

    delay_ms: float
    jitter_ms: float
    rank_failure: float


class Pair:
    """Two hosts and the link between them; `agent` is the script that stands in for ssh."""

    def __init__(self, folder: Path, slow: Slow | None = None) -> None:
        self.hosts: list[Host] = []
        self._link: subprocess.Popen[str] | None = None
        self._slow = slow
        try:
            self.hosts.append(Host("first", "10.77.0.1"))
            self.hosts.append(Host("second", "10.77.0.2"))
            self._join()
        except BaseException:
            self.end()
            raise
        self.first, self.second = self.hosts
        cases = " ".join(f"{h.address}|{h.name}) holder={h.pid} ;;" for h in self.hosts)
        self.agent = folder / "agent"
        self.agent.write_text(AGENT.format(cases=cases, namespaces=" ".join(NAMESPACES)))
        self.agent.chmod(0o755)

    def _join(self) -> None:
        first, second = self.hosts
        if self._slow is None:
            peer = ("peer", "name", DEVICE, "netns", str(second.pid))
            first.do("ip", "link", "add", DEVICE, "type", "veth", *peer)
        else:
            self._link = self._drawn(first, second, self._slow)
        for host in self.hosts:
            host.do("ip", "address", "add", f"{host.address}/24", "dev", DEVICE)
            host.do("ip", "link", "set", DEVICE, "up")
        self._await_both()

    def _drawn(self, first: Host, second: Host, slow: Slow) -> subprocess.Popen[str]:
        how = [first.pid, second.pid, DEVICE, slow.delay_ms, slow.jitter_ms, slow.rank_failure]
        link = subprocess.Popen(
            [sys.executable, "-m", "tests.hosts.link", *map(str, how)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert link.stdout is not None
        assert link.stdout.readline() == "joined\n", "no link was made"
        return link

    def cut(self) -> None:
        """Nothing gets through any more."""
        self.first.do("ip", "link", "set", DEVICE, "down")

    def mend(self) -> None:
        """The link is as it was at first."""
        self.first.do("ip", "link", "set", DEVICE, "up")
        self._await_both()

    def _await_both(self) -> None:
        """Until each reaches the other. That the devices are up is not enough: the system looks at
        links once in a second, and takes a neighbour that was gone for gone for a while. Open MPI's
        daemon on the other host has one try to report back, and the job would fail to start."""
        until_s = time.monotonic() + BOUND_S
        while not all(self._reaches(*ends) for ends in permutations(self.hosts)):
            assert time.monotonic() < until_s, "the link does not come up"
            time.sleep(LOOK_S)

    def _reaches(self, host: Host, other: Host) -> bool:
        said = host.do(sys.executable, "-S", "-c", KNOCK, other.address)
        return int(said) == errno.ECONNREFUSED

    def settings(self, slots: int) -> dict[str, str]:
        """What Open MPI has to know to use both, with so many slots each, as its environment."""
        return {
            "PRTE_MCA_plm_ssh_agent": str(self.agent),
            "PRTE_MCA_prte_if_include": NETWORK,
            "OMPI_MCA_btl_tcp_if_include": NETWORK,
            "PRTE_MCA_prte_default_hostfile": str(self._hostfile(slots)),
        }

    def _hostfile(self, slots: int) -> Path:
        file = self.agent.with_name("hostfile")
        file.write_text("".join(f"{host.address} slots={slots}\n" for host in self.hosts))
        return file

    def run(self, *command: str, slots: int = 4, **settings: str) -> list[str]:
        """The command that starts a job from the first host over both."""
        words = [f"{name}={value}" for name, value in {**self.settings(slots), **settings}.items()]
        return self.first.inside(*words, *command)

    def end(self) -> None:
        """Both are gone."""
        if self._link is not None:
            self._link.kill()
            self._link.communicate(timeout=BOUND_S)
        for host in self.hosts:
            host.end()


@contextmanager
def pair(folder: Path, slow: Slow | None = None) -> Iterator[Pair]:
    """Two hosts, gone at the end."""
    made = Pair(folder, slow)
    try:
        yield made
    finally:
        made.end()


def main() -> int:
    """A shell on the first host, to look around: `python -m tests.hosts.pair FOLDER COMMAND...`."""
    folder, *command = sys.argv[1:]
    with pair(Path(folder)) as made:
        return subprocess.run(made.run(*command), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
