"""One child of a node as its supervisor sees it."""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

import msgspec

from payflux.node.plan import READY, Plan

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Member:
    """One child: its plan, and the process that carries it out just now.

    Attributes:
        plan: what every process of it is told.
        process: the one at work; None between two.
        control: the socket to it.
        ready: it has said that it is at work.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.process: asyncio.subprocess.Process | None = None
        self.control: socket.socket | None = None
        self.ready = False

    async def start(self, hear: Callable[["Member"], None]) -> asyncio.subprocess.Process:
        """Start a process; the signals it gets before it has handlers for them wait.

        Args:
            hear: called when the process says something, which `heard` tells.
        """
        self.control, theirs = socket.socketpair()
        self.control.setblocking(False)
        self.ready = False
        plan = msgspec.json.encode(msgspec.structs.replace(self.plan, control=theirs.fileno())).decode()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # the mask is inherited
        try:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", f"payflux.node.{'operating' if self.plan.operates else 'child'}", plan),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *self.plan.inherits),
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            theirs.close()
        asyncio.get_running_loop().add_reader(self.control, hear, self)
        return self.process

    def tell(self, word: bytes) -> None:
        """Say something to the process; a dead one hears nothing."""
        if self.control is not None:
            with suppress(OSError):
                self.control.send(word)

    def heard(self) -> bytes:
        """What the process says; empty when it is gone."""
        try:
            word = self.control.recv(64) if self.control is not None else b""
        except OSError:
            word = b""
        if not word and self.control is not None:
            asyncio.get_running_loop().remove_reader(self.control)
        self.ready = self.ready or READY in word
        return word

    def ended(self) -> None:
        """The process is gone."""
        if self.control is not None:
            asyncio.get_running_loop().remove_reader(self.control)
            self.control.close()
        self.process = self.control = None

    def kill(self) -> bool:
        """Kill the process; whether there was one."""
        if self.process is None or self.process.returncode is not None:
            return False
        with suppress(ProcessLookupError):
            self.process.kill()
        return True
