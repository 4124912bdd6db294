# SPDX-License-Identifier: Apache-2.0
"""Asking ahead (speckv/ahead.h) against a real daemon with a real tier below its pool, and against
one without: what comes up is bit for bit what was put, each refusal is an OSError or an outcome."""

import asyncio
import errno
import threading
import time
import unittest

import daemon
import kv
import numpy as np

import speckv
import speckv.aio
import speckv.events
from speckv import Outcome

BLOCKS = 600  # of 64 KiB: more than twice the pool


def data(count, seed):
    """[block, layer, head, token, channel], each block's first value another one."""
    k = kv.values(count, kv.LAYERS, kv.HEADS, kv.TOKENS, kv.DIM, seed=seed)
    k[:, 0, 0, 0, 0] = np.arange(count)
    return k


def reap_one(session):
    deadline = time.monotonic() + 60
    while not len(done := session.reap(1)):
        session.wait(1)
        if time.monotonic() > deadline:
            raise TimeoutError("no completion came")
    return int(done["user_data"][0]), int(done["result"][0])


class BelowTest(unittest.TestCase):
    """One pool of 16 MiB, a tier of 128 MiB below; blocks that only the tier has are found anew by
    each test, since tests bring some up."""

    @classmethod
    def setUpClass(cls):
        cls.daemon = daemon.Daemon(pool="16MiB", spill="128MiB")
        cls.addClassCleanup(cls.daemon.close)
        cls.keys, cls.k = kv.keys(BLOCKS, 1), data(BLOCKS, 1)
        with speckv.Session(socket=cls.daemon.socket) as session:
            layout = session.register(kv.layout())
            for at in range(0, BLOCKS, 8):
                part = slice(at, at + 8)
                batch = layout.put_batch(cls.keys[part], cls.k[part], cls.k[part], "blhtc",
                                         kind="conversation")
                assert session.store(layout, batch) == 8
                time.sleep(0.002)  # a storm would outrun any disk

    def setUp(self):
        self.session = speckv.Session(socket=self.daemon.socket)
        self.addCleanup(self.session.close)
        self.layout = self.session.register(kv.layout())

    def below(self, count):
        """Places of the first blocks that the pool has not."""
        places = np.flatnonzero(~self.session.exists(self.layout, self.keys)[1])[:count]
        self.assertEqual(len(places), count)
        return places

    def buffers(self, keys):
        k = np.zeros((len(keys), *self.k.shape[1:]), self.k.dtype)
        v = np.zeros_like(k)
        return k, v, self.layout.get_batch(keys, k, v, "blhtc")

    def test_a_prefetch_brings_blocks_up_and_says_so(self):
        places = self.below(20)
        asked = np.concatenate([self.keys[places], kv.keys(1, 999)])
        with self.session.begin_prefetch(self.layout, asked, timeout=60, user_data=5) as prefetch:
            self.assertEqual((prefetch.asked, len(prefetch)), (21, 21))
            self.assertEqual(reap_one(self.session), (5, 0))
            outcomes = prefetch.outcomes()
            self.assertEqual(outcomes["outcome"].tolist(), [Outcome.READY] * 20 + [Outcome.MISSING])
            self.assertEqual(outcomes["error"].tolist(), [0] * 20 + [-errno.ENOENT])
            self.assertEqual(prefetch.leading(), 20)
            self.assertEqual(len(prefetch.outcomes(3)), 3)
            with self.assertRaises(OSError) as caught:
                prefetch.outcomes(22)
            self.assertEqual(caught.exception.errno, errno.ERANGE)
            k, v, batch = self.buffers(self.keys[places])
            self.assertEqual(self.session.get(self.layout, batch), 20)
            np.testing.assert_array_equal(k, self.k[places])
            np.testing.assert_array_equal(v, self.k[places])
        with self.assertRaises(OSError) as caught:
            prefetch.outcomes()
        self.assertEqual(caught.exception.errno, errno.EBADF)
        prefetch.end()

    def test_routers_hear_of_what_comes_up_and_of_what_gives_way(self):
        announcer = speckv.events.Announcer(self.session)
        self.addCleanup(announcer.close)
        ids = [bytes(each) for each in self.layout.block_ids(self.keys)]
        announcer.tell([speckv.events.Block(i, None, [i], [ids[i]]) for i in range(BLOCKS)])

        def told():
            stored, removed = set(), set()
            for event in announcer.poll():
                if isinstance(event, speckv.events.Stored):
                    stored |= {block.hash for block in event.blocks}
                else:
                    removed |= set(event.hashes)
            return stored, removed

        def here():
            return set(np.flatnonzero(self.session.exists(self.layout, self.keys)[1]).tolist())

        before = here()
        self.assertEqual(told(), (before, set()))
        places = self.below(60)
        with self.session.begin_prefetch(self.layout, self.keys[places], timeout=60) as prefetch:
            reap_one(self.session)
            self.assertEqual(prefetch.leading(), 60)
            stored, removed = told()
        self.assertTrue(stored >= set(places.tolist()), stored)
        self.assertEqual(removed, before - here())
        self.assertEqual(announcer.tree.announced(), here())

    def test_locate_says_where_blocks_are_and_fetches_none(self):
        places = self.below(20)
        here = np.flatnonzero(self.session.exists(self.layout, self.keys)[1])[:1]
        asked = np.concatenate([self.keys[here], self.keys[places], kv.keys(1, 999)])
        leading, tiers = self.session.locate(self.layout, asked, 60)
        self.assertEqual(leading, 21)
        self.assertEqual(tiers.tolist(), [speckv.abi.TIER_POOL] + [speckv.abi.TIER_BELOW] * 20
                         + [-errno.ENOENT])
        self.assertFalse(self.session.exists(self.layout, self.keys[places])[1].any())
        self.daemon.pause()
        try:
            leading, tiers = self.session.locate(self.layout, asked, 0.05)
        finally:
            self.daemon.resume()
        self.assertEqual((leading, set(tiers[1:].tolist())), (1, {-errno.ETIMEDOUT}))
        self.assertEqual(self.session.locate(self.layout, asked[:0])[0], 0)

    def test_a_load_waits_for_what_comes_up(self):
        places = self.below(16)
        k, v, batch = self.buffers(np.concatenate([self.keys[places], kv.keys(1, 999)]))
        self.assertEqual(self.session.load(self.layout, batch, timeout=0), 0)
        self.assertEqual(set(batch.results.tolist()), {-errno.ENOENT})
        self.assertEqual(self.session.load(self.layout, batch, timeout=60), 16)
        self.assertEqual(batch.results[16], -errno.ENOENT)
        np.testing.assert_array_equal(k[:16], self.k[places])
        np.testing.assert_array_equal(v[:16], self.k[places])

    def test_a_load_that_waits_lets_other_threads_run_and_ends_by_its_time(self):
        _, _, batch = self.buffers(self.keys[self.below(4)])
        loaded = []
        self.daemon.pause()
        try:
            loading = threading.Thread(
                target=lambda: loaded.append(self.session.load(self.layout, batch, timeout=1)))
            loading.start()
            ticks = 0
            while loading.is_alive():
                ticks += 1
                time.sleep(0.01)
        finally:
            self.daemon.resume()
        loading.join()
        self.assertEqual(loaded, [0])
        self.assertEqual(batch.results[0], -errno.ETIMEDOUT)
        self.assertGreater(ticks, 5)

    def test_a_budget_clips_the_trailing_ones(self):
        places = self.below(12)
        budget = 4 * self.layout.block_bytes
        with self.session.begin_prefetch(self.layout, self.keys[places], budget=budget) as prefetch:
            reap_one(self.session)
            outcomes = prefetch.outcomes()
        ready = outcomes["outcome"] == Outcome.READY
        self.assertEqual(ready.tolist(), sorted(ready.tolist(), reverse=True))
        self.assertTrue(ready[0] and not ready[11])
        self.assertEqual(set(outcomes["outcome"][~ready].tolist()), {Outcome.CLIPPED})
        self.assertEqual(set(outcomes["error"][~ready].tolist()), {-errno.ENOSPC})

    def test_an_end_cancels_what_is_on_its_way(self):
        keys = self.keys[self.below(60)]
        self.daemon.pause()
        try:
            with self.session.begin_prefetch(self.layout, keys, user_data=9) as prefetch:
                self.assertEqual(set(prefetch.outcomes()["outcome"].tolist()), {Outcome.ASKED})
        finally:
            self.daemon.resume()
        self.assertEqual(reap_one(self.session), (9, -errno.ECANCELED))

    def test_under_asyncio(self):
        asyncio.run(self.asked_under_asyncio())

    async def asked_under_asyncio(self):
        queue = speckv.aio.Completions(self.session)
        try:
            places = self.below(24)
            several = [self.keys[places[:8]], self.keys[places[8:16]], self.keys[places[16:]]]
            for outcomes in await asyncio.gather(
                    *(queue.prefetch(self.layout, each, timeout=60) for each in several)):
                self.assertEqual(outcomes["outcome"].tolist(), [Outcome.READY] * 8)
            self.assertEqual(self.session.exists(self.layout, self.keys[places])[0], 24)
            self.daemon.pause()
            try:
                with self.assertRaises(TimeoutError):
                    await asyncio.wait_for(
                        queue.prefetch(self.layout, self.keys[self.below(4)]), 0.2)
            finally:
                self.daemon.resume()
            with self.assertRaises(OSError) as caught:
                await queue.prefetch(self.layout, several[0], timeout=0)
            self.assertEqual(caught.exception.errno, errno.ETIMEDOUT)
            # written by the first, gone by a later one
            for _ in range(4000):
                self.assertEqual(await queue.demote(self.layout, several[0]), 8)
                if not self.session.exists(self.layout, several[0])[1].any():
                    break
                await asyncio.sleep(0.005)
            self.assertFalse(self.session.exists(self.layout, several[0])[1].any())
        finally:
            queue.close()


class AloneTest(unittest.TestCase):
    """A pool with nothing below it."""

    @classmethod
    def setUpClass(cls):
        cls.daemon = daemon.Daemon(pool="16MiB")
        cls.addClassCleanup(cls.daemon.close)

    def setUp(self):
        self.session = speckv.Session(socket=self.daemon.socket)
        self.addCleanup(self.session.close)
        self.layout = self.session.register(kv.layout())

    def stored(self, count, seed):
        k, keys = data(count, seed), kv.keys(count, seed)
        batch = self.layout.put_batch(keys, k, k, "blhtc")
        self.assertEqual(self.session.store(self.layout, batch), count)
        return keys

    def refused(self, error, call, *args, **how):
        with self.assertRaises(OSError) as caught:
            call(self.layout, *args, **how)
        self.assertEqual(caught.exception.errno, error, caught.exception)
        return str(caught.exception)

    def test_locate_without_a_tier_asks_nobody(self):
        keys = np.concatenate([self.stored(2, 16), kv.keys(1, 17)])
        self.daemon.pause()
        try:
            leading, tiers = self.session.locate(self.layout, keys, 60)
        finally:
            self.daemon.resume()
        self.assertEqual((leading, tiers.tolist()), (2, [0, 0, -errno.ENOENT]))

    def test_what_cannot_be_asked(self):
        keys, begin = self.stored(2, 10), self.session.begin_prefetch
        self.refused(errno.ETIMEDOUT, begin, keys, timeout=0)
        self.refused(errno.EINVAL, begin, keys, budget=0)
        self.refused(errno.ERANGE, begin, keys, budget=1 << 40)
        self.refused(errno.ENODATA, begin, keys[:0])
        many = [begin(self.layout, keys) for _ in range(256)]
        self.assertIn("end some", self.refused(errno.EAGAIN, begin, keys))
        many[0].end()
        many.append(begin(self.layout, keys))
        self.assertEqual(many[-1].leading(), 2)
        self.session.close()
        with self.assertRaises(OSError) as caught:
            many[-1].outcomes()
        self.assertEqual(caught.exception.errno, errno.ESHUTDOWN)
        del many

    def test_what_is_dropped_is_ended(self):
        keys = self.stored(2, 15)
        for _ in range(300):  # more than a session may have at once
            self.assertEqual(self.session.begin_prefetch(self.layout, keys).asked, 2)
            self.session.reap()

    def test_retained_blocks_stay_and_are_counted_in_bytes(self):
        keys, nobodys = self.stored(4, 20), kv.keys(1, 21)
        leading, results, retain = self.session.retain(
            self.layout, np.concatenate([keys[:3], nobodys, keys[3:]]), ttl=60)
        self.assertEqual((leading, results.tolist()), (3, [0, 0, 0, -errno.ENOENT, 0]))
        self.session.remove(self.layout, keys[:1], user_data=3)
        self.assertEqual(reap_one(self.session), (3, -errno.EBUSY))
        self.session.retain_end(retain)
        with self.assertRaises(OSError) as caught:
            self.session.retain_end(retain)
        self.assertEqual(caught.exception.errno, errno.EBADF)
        self.session.remove(self.layout, keys[:1], user_data=4)
        self.assertEqual(reap_one(self.session), (4, 0))
        self.assertIn("no such block", self.refused(errno.ENOENT, self.session.retain, nobodys))
        many = self.stored(100, 22)  # 6.25 MiB, of which a quarter of the pool may be retained
        leading, results, retain = self.session.retain(self.layout, many)
        self.assertTrue(0 < leading < 100)
        self.assertEqual(set(results[leading:].tolist()) - {0}, {-errno.EDQUOT})
        self.session.retain_end(retain)

    def test_no_tier_below(self):
        keys = self.stored(3, 30)
        self.assertEqual(self.session.demote(self.layout, keys, user_data=8), 3)
        self.assertEqual([reap_one(self.session) for _ in keys], [(8, -errno.EOPNOTSUPP)] * 3)

        async def demoted():
            queue = speckv.aio.Completions(self.session)
            try:
                await queue.demote(self.layout, keys)
            finally:
                queue.close()

        with self.assertRaises(OSError) as caught:
            asyncio.run(demoted())
        self.assertEqual(caught.exception.errno, errno.EOPNOTSUPP)

    def test_kinds_and_hints(self):
        keys = self.stored(3, 40)
        self.assertEqual(self.session.hint(self.layout, keys, "conversation", returns=30), 3)
        self.assertEqual(self.session.hint(self.layout, keys), 3)
        with self.assertRaisesRegex(ValueError, "kind: 'chat' is none of unknown, system"):
            self.session.hint(self.layout, keys, "chat")
        k = data(2, 41)
        batch = self.layout.put_batch(kv.keys(2, 41), k, k, "blhtc", kind="system")
        self.assertEqual(batch.ops["meta"]["kind"].tolist(), [1, 1])
        self.assertEqual(self.session.store(self.layout, batch), 2)
        paged = speckv.Paged(self.layout, list(k.swapaxes(0, 1)), list(k.swapaxes(0, 1)), "bhtc")
        batch = paged.put_batch(kv.keys(2, 42), [1, 0], kind="tool")
        self.assertEqual(batch.ops["meta"]["kind"].tolist(), [2, 2])
        with self.session.begin(self.layout, kv.keys(1, 43), kind="scratch") as put:
            put.layers(0, batch.views[0])
            put.commit()
        self.assertEqual(reap_one(self.session)[1], 0)


if __name__ == "__main__":
    unittest.main()
