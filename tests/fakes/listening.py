"""The end of a fake server's listening: without it a test fails now and then for a socket that nobody closed.

Up to Python 3.11 a connection that asyncio accepted in the very round in which its server is closed gets a transport
that fails half-made, and its socket stays open. So a fake first accepts nothing more, lets what was accepted become
connections, and only then goes down.
"""

from __future__ import annotations

import asyncio
import socket

ROUNDS = 3
"""Of the loop: one makes an accepted connection's transport, one tells its protocol, one more for good measure."""


def listening(port: int = 0) -> socket.socket:
    """A socket on loopback that takes connections, at a free port where none is named."""
    return socket.create_server(("127.0.0.1", port), backlog=128)


async def accept_no_more(listener: socket.socket) -> None:
    """What comes from now on waits in the kernel, until closing the server refuses it."""
    asyncio.get_running_loop().remove_reader(listener.fileno())
    for _ in range(ROUNDS):
        await asyncio.sleep(0)
