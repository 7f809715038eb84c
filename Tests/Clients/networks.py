"""Hosts in network namespaces: a database's and two servers', each of which reaches the database only.

Processes of a host are started behind `command(name)`. Files, Unix sockets too, are the same on all hosts.
"""

import contextlib
import ctypes
import os
import subprocess
import threading

from server import cannot_test

CLONE_NEWNET = 0x40000000


class Hosts:
    """Three networks of `db`, `a` and `b`. The database's host has a link to each of the others."""

    names = "db", "a", "b"

    def __init__(self):
        self.spaces = {name: f"larder-{os.getpid()}-{name}" for name in self.names}
        self.made = []

    def __enter__(self):
        try:
            for space in self.spaces.values():
                self._ip("netns", "add", space)
                self.made.append(space)
        except OSError as error:
            self.__exit__()
            cannot_test(f"this system allows no network namespaces: {error}")
        try:
            for name in self.names:
                self._inside(name, "link", "set", "lo", "up")
            self._inside("db", "address", "add", f"{self.address('db')}/32", "dev", "lo")
            for number, name in enumerate(self.names[1:], 1):
                space = self.spaces[name]
                self._inside("db", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "to-db", "netns", space)
                for place, device, end in ("db", f"to-{name}", 1), (name, "to-db", 2):
                    self._inside(place, "address", "add", f"10.20.{number}.{end}/24", "dev", device)
                    self._inside(place, "link", "set", device, "up")
                self._inside(name, "route", "add", self.address("db"), "via", f"10.20.{number}.1")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        while self.made:
            # The links go with their namespaces.
            subprocess.run(["ip", "netns", "delete", self.made.pop()], capture_output=True, timeout=30)

    def address(self, name):
        return "10.20.0.1" if name == "db" else f"10.20.{self.names.index(name)}.2"

    @staticmethod
    def _ip(*words):
        outcome = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=30)
        if outcome.returncode != 0:
            raise OSError(f"ip {' '.join(words)}: {outcome.stderr}")

    def _inside(self, name, *words):
        self._ip("-n", self.spaces[name], *words)

    def command(self, name):
        """What begins the command line of a process of a host."""
        return ["ip", "netns", "exec", self.spaces[name]]

    @contextlib.contextmanager
    def within(self, name):
        """Sockets that this thread makes meanwhile are a host's."""
        libc = ctypes.CDLL(None, use_errno=True)

        def enter(path):
            with open(path) as space:
                if libc.setns(space.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"cannot enter {path}")

        home = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
        try:
            enter(f"/run/netns/{self.spaces[name]}")
            yield
        finally:
            enter(f"/proc/self/fd/{home}")
            os.close(home)

    # Ways to cut a host off, and to join it again.

    def unplug(self, name):
        """The link is down, and both ends know it."""
        self._inside("db", "link", "set", f"to-{name}", "down")

    def plug(self, name):
        self._inside("db", "link", "set", f"to-{name}", "up")

    def drop(self, name):
        """The database's answers are lost: no end is told anything."""
        self._inside("db", "route", "add", "blackhole", f"{self.address(name)}/32")

    def deliver(self, name):
        self._inside("db", "route", "delete", "blackhole", f"{self.address(name)}/32")
