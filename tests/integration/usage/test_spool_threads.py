from __future__ import annotations

import asyncio
from collections import deque


async def test_an_append_that_the_writer_takes_at_once_is_answered(opened, events) -> None:
    async with opened() as spool:
        loop = asyncio.get_running_loop()

        class TakenAtOnce(deque):
            def append(self, item: object) -> None:
                super().append(item)
                spool._writer.submit(spool._commit, loop).result()

        spool._queue = TakenAtOnce()
        assert list(await spool.append(events(2))) == [1, 2]
        assert [one.seq for one in await spool.head(10)] == [1, 2]
