"""Seeing a write through: the board hears of it once it is on the disk, also where whoever asked has gone meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

from feedback.errors import StoreBusy
from feedback.labelling.leases import Held
from service.commits import LONGEST_S


class Landing:
    """The writes of one gateway's desks."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[None]] = set()

    async def see(
        self,
        stored: Future[None],
        held: Held,
        landed: Callable[[], None],
        failed: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        """Wait for the commit, then call `landed` at once. Until then nobody else is given the item.

        Raises what the write failed with; StoreBusy where the disk takes too long, and then it is still seen through.
        """
        task = asyncio.create_task(_through(stored, held, landed, failed))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        held.busy = True
        try:
            await asyncio.wait_for(asyncio.shield(task), LONGEST_S)
        except TimeoutError as error:
            raise StoreBusy(
                f"The disk has not taken the write in {LONGEST_S:g} s.", "Look for it before you try again."
            ) from error

    async def close(self) -> None:
        """Wait for those that are under way."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited has it; where nobody waits, nobody misses it


async def _through(
    stored: Future[None], held: Held, landed: Callable[[], None], failed: Callable[[Exception], None]
) -> None:
    try:
        await asyncio.wrap_future(stored)
    except Exception as error:  # whatever it is, the item must not stay in limbo; whoever waits is told
        held.busy = False
        failed(error)
        raise
    held.busy = False
    landed()
