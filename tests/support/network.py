"""A network of several hosts on this machine: network namespaces around one router. Linux, as root.

``python -m tests.support.network HOST ...`` is the router. It makes a namespace for itself and one
for each host, says on its standard output where they are, and obeys ``cut HOST`` and ``mend HOST``
on its standard input. A host that is cut off is not told: what it sends, and what is sent to it, is
dropped without a word on the way, as behind a switch without power. Nothing has a name outside, so
nothing is left behind: when the router's standard input ends, for whatever reason, so do all.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("unshare", "nsenter", "setpriv")
"""Of util-linux, which no distribution lacks."""
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
OURS = Path("/proc/self/ns/net")


def why_not() -> str:
    """Why no network can be made here; empty where one can."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"needs {', '.join(missing)} of util-linux"
    command = ["unshare", "--net", "sh", "-c", f"echo 1 > {FORWARDING}"]
    tried = subprocess.run(command, check=False, capture_output=True, text=True)
    return f"may not make a network: {tried.stderr.strip()}" if tried.returncode else ""


@dataclass(frozen=True, kw_only=True)
class Host:
    """A host of the network."""

    name: str
    address: str
    namespace: Path
    _inside: ThreadPoolExecutor = field(repr=False)
    """One thread, which is in the host's network: a socket belongs where it was made."""

    def command(self, *privileges: str) -> list[str]:
        """What to put before a command that is to run there, and to die with us.

        Args:
            privileges: Options for ``setpriv``.
        """
        enter = ["nsenter", f"--net={self.namespace}", "--"]
        return [*enter, "setpriv", "--pdeathsig=KILL", *privileges]

    def run(self, work: Callable[[], T]) -> T:
        """Do something short there, such as making a socket."""
        return self._inside.submit(work).result()

    def listen(self, port: int) -> socket.socket:
        """A socket that listens there."""
        return self.run(lambda: socket.create_server((self.address, port)))

    def make_socket(self, address_info: Any) -> socket.socket:
        """A socket for a client there, as aiohttp asks for one."""
        family, kind, protocol, *_ = address_info
        made = self.run(lambda: socket.socket(family, kind, protocol))
        made.setblocking(False)
        return made


class Network:
    """Hosts by name, and the router between them."""

    def __init__(self, hosts: Mapping[str, Host], router: subprocess.Popen[str]) -> None:
        self.hosts = hosts
        self._router = router

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def cut(self, name: str) -> None:
        """Drop all packets of a host's from now on, silently."""
        self._order(f"cut {name}")

    def mend(self, name: str) -> None:
        """Let them pass again."""
        self._order(f"mend {name}")

    def _order(self, order: str) -> None:
        assert self._router.stdin is not None
        assert self._router.stdout is not None
        self._router.stdin.write(f"{order}\n")
        self._router.stdin.flush()
        assert self._router.stdout.readline() == "done\n", order


@contextmanager
def open_network(*names: str) -> Iterator[Network]:
    """Make a network; its hosts end with the block."""
    command = ["unshare", "--net", "--", sys.executable, "-m", __name__, *names]
    with ExitStack() as stack:
        router = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        stack.callback(router.wait)
        assert router.stdin is not None
        assert router.stdout is not None
        stack.callback(router.stdout.close)
        stack.callback(router.stdin.close)
        places = json.loads(router.stdout.readline())
        hosts = {name: _host(stack, name, *place) for name, place in places.items()}
        yield Network(hosts, router)


def _host(stack: ExitStack, name: str, address: str, namespace: str) -> Host:
    # Here, since it cannot be imported on other systems.
    from pyroute2 import netns  # type: ignore[import-untyped]  # it ships no types

    inside = ThreadPoolExecutor(1, initializer=netns.setns, initargs=(namespace,))
    stack.callback(inside.shutdown)
    return Host(name=name, address=address, namespace=Path(namespace), _inside=inside)


def route(names: list[str]) -> None:
    """Be the router."""
    from pyroute2 import IPRoute

    FORWARDING.write_text("1")
    with ExitStack() as stack:
        router = stack.enter_context(IPRoute())
        places = {
            name: _connect(stack, router, number) for number, name in enumerate(names, start=1)
        }
        print(json.dumps(places), flush=True)
        for line in sys.stdin:
            order, name = line.split()
            address, _ = places[name]
            for side in ("src", "dst"):
                # Unlike an interface that goes down, it tells nobody.
                router.rule(
                    "add" if order == "cut" else "del",
                    priority=1,
                    action="FR_ACT_BLACKHOLE",
                    **{side: address, f"{side}_len": 32},
                )
            print("done", flush=True)


def _connect(stack: ExitStack, router: Any, number: int) -> tuple[str, str]:
    """Make a host: its address, and where its namespace is."""
    from pyroute2 import IPRoute

    holder = subprocess.Popen(
        ["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    stack.callback(holder.wait)
    assert holder.stdin is not None
    assert holder.stdout is not None
    stack.callback(holder.stdin.close)
    holder.stdin.write(b"?")
    assert holder.stdout.read(1) == b"?"  # it is there
    namespace = f"/proc/{holder.pid}/ns/net"
    assert Path(namespace).readlink() != OURS.readlink()
    gateway, address, link = f"10.0.{number}.1", f"10.0.{number}.2", f"host{number}"
    router.link("add", ifname=link, kind="veth", peer={"ifname": "eth0", "net_ns_pid": holder.pid})
    _set_up(router, link, gateway)
    with IPRoute(netns=namespace) as inside:
        _set_up(inside, "lo")
        _set_up(inside, "eth0", address)
        inside.route("add", dst="default", gateway=gateway)
    return address, namespace


def _set_up(where: Any, link: str, address: str = "") -> None:
    (index,) = where.link_lookup(ifname=link)
    if address:
        where.addr("add", index=index, address=address, prefixlen=30)
    where.link("set", index=index, state="up")


if __name__ == "__main__":
    route(sys.argv[1:])
