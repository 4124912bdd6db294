# SPDX-License-Identifier: Apache-2.0
"""Puts and removes under asyncio: woken by the event descriptor, several at once through an arena
that is too small for them."""

import asyncio
import unittest

import daemon
import kv
import numpy as np

import speckv
import speckv.aio


class AioTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.daemon = daemon.Daemon()
        self.addCleanup(self.daemon.close)
        self.session = speckv.Session(socket=self.daemon.socket, arena_bytes=512 << 10)
        self.addCleanup(self.session.close)
        self.layout = self.session.register(kv.layout())
        self.queue = speckv.aio.Completions(self.session)
        self.addCleanup(self.queue.close)

    def batch(self, count, seed):
        k = kv.values(count, kv.LAYERS, kv.HEADS, kv.TOKENS, kv.DIM, seed=seed)
        return self.layout.put_batch(kv.keys(count, seed), k, k, "blhtc")

    async def test_many_puts_at_once_through_a_small_arena(self):
        ticks = 0

        async def others():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(others())
        results = await asyncio.gather(
            *(self.queue.put(self.layout, self.batch(12, 100 + i)) for i in range(5)))
        beside.cancel()
        self.assertFalse(np.concatenate(results).any())
        self.assertGreater(ticks, 0)
        for i in range(5):
            self.assertEqual(self.session.exists(self.layout, kv.keys(12, 100 + i))[0], 12)

    async def test_remove_says_how_many_were_there(self):
        await self.queue.put(self.layout, self.batch(3, 200))
        keys = np.concatenate([kv.keys(3, 200), kv.keys(2, 201)])
        self.assertEqual(await self.queue.remove(self.layout, keys), 3)
        self.assertEqual(self.session.exists(self.layout, keys)[0], 0)


if __name__ == "__main__":
    unittest.main()
