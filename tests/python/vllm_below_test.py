# SPDX-License-Identifier: Apache-2.0
"""The scheduler's side of speckv_vllm over a pool that is too small, with a real tier below: what
was evicted comes up before its request runs, bit for bit, is not saved again, and nobody waits for
a tier or a daemon that does not answer. Control: wait 0, and none of it is found."""

import dataclasses
import time

import kv
import numpy as np
from sides import Request, Sides
from speckv_vllm.scheduler import SchedulerSide

import speckv

BLOCKS, REQUESTS = 6, 100  # 600 blocks of 64 KiB: more than twice the pool
WAIT_S = 60  # only a hang lasts that long


class BelowTest(Sides):
    daemon_facts = {"pool": "16MiB", "spill": "128MiB"}

    def setUp(self):
        super().setUp()
        self.options = dataclasses.replace(self.options, wait=30.0)
        self.session = speckv.Session(socket=self.daemon.socket)
        self.addCleanup(self.session.close)
        self.layout = self.session.register(kv.layout())

    @staticmethod
    def keys(seed):
        tokens = Request("", seed, BLOCKS).all_token_ids
        return speckv.key_chain(tokens, kv.TOKENS)[:BLOCKS]

    @staticmethod
    def values(seed):
        return kv.values(BLOCKS, kv.LAYERS, kv.HEADS, kv.TOKENS, kv.DIM, seed=seed)

    def stored(self, seed, layout=None):
        """Fills the pool with requests' blocks, from this seed on. Returns: the seeds of those of
        which it has none by then."""
        layout = layout or self.layout
        for each in range(seed, seed + REQUESTS):
            k = self.values(each)
            batch = layout.put_batch(self.keys(each), k, k, "blhtc", kind="conversation")
            self.assertEqual(self.session.store(layout, batch), BLOCKS)
            time.sleep(0.002)  # a storm would outrun any disk
        return [each for each in range(seed, seed + REQUESTS)
                if not self.session.exists(layout, self.keys(each))[1].any()
                and self.session.locate(layout, self.keys(each), 10)[0] == BLOCKS]

    def found(self, scheduler, request):
        """look_up() as the engine asks, step by step. Returns: (tokens, how often it was None)."""
        until = time.monotonic() + WAIT_S
        for waited in range(1 << 30):
            tokens = scheduler.look_up(request, 0)
            if tokens is not None:
                return tokens, waited
            self.assertLess(time.monotonic(), until, "it waits without end")
            scheduler.plan([])
            time.sleep(0.001)

    def test_what_was_evicted_comes_up_before_its_request_and_is_not_saved_again(self):
        below = self.stored(1000)
        scheduler, (reader, into) = self.scheduler(), self.worker()
        for name, seed in enumerate(below[:5]):
            if name == 4:  # a part of it is in the pool
                with self.session.begin_prefetch(self.layout, self.keys(seed)[2:4]):
                    self.session.wait(30)
            request = Request(str(name), seed, BLOCKS)
            self.assertIsNone(scheduler.look_up(request, 0))
            self.assertEqual(self.found(scheduler, request)[0], BLOCKS * kv.TOKENS)
            scheduler.allocated(request, BLOCKS * kv.TOKENS)
            pages = [7, 3, 0, 9, 1, 12, 5]
            plan = scheduler.plan([(str(name), BLOCKS * kv.TOKENS, 1, lambda: pages)])
            self.assertIsNone(plan.saves)
            outcome, failed = self.step(reader, plan)
            self.assertEqual(failed, [])
            scheduler.step_done(outcome)
            scheduler.finished(str(name))
            k = self.values(seed).swapaxes(0, 1)  # [layer, block, ...]
            for side in (0, 1):
                np.testing.assert_array_equal(into[:, side][:, pages[:BLOCKS]], k)
        self.assertEqual(self.counted["loaded_blocks"], 5 * BLOCKS)
        self.assertEqual(self.counted["hit_blocks"], 5 * BLOCKS)
        self.assertEqual(self.counted.get("late_blocks", 0), 0)

    def test_wait_0_looks_into_the_pool_alone(self):
        seed = self.stored(2000)[0]
        self.options = dataclasses.replace(self.options, wait=0.0)
        self.assertEqual(self.found(self.scheduler(), Request("a", seed, BLOCKS)), (0, 0))

    def test_what_the_engine_has_itself_and_lies_below_is_not_saved_again(self):
        seed = self.stored(3000)[0]
        scheduler = self.scheduler()
        request = Request("a", seed, BLOCKS)
        self.assertEqual(scheduler.look_up(request, BLOCKS * kv.TOKENS), 0)
        plan = scheduler.plan([("a", BLOCKS * kv.TOKENS, 1, lambda: range(BLOCKS + 1))])
        self.assertIsNone(plan.saves)
        self.assertFalse(self.session.exists(self.layout, self.keys(seed))[1].any())

    def test_a_request_waits_for_its_time_at_most(self):
        below = self.stored(4000)
        now = [0.0]
        scheduler = SchedulerSide(self.options, lambda request: request.salt, self.count,
                                  clock=lambda: now[0])
        self.addCleanup(scheduler.close)
        scheduler.register([kv.layout()])
        looked = scheduler._tiers  # the daemon stands still once it has said where blocks are

        def look_and_pause(layout, keys):
            tiers = looked(layout, keys)
            self.daemon.pause()
            return tiers

        scheduler._tiers = look_and_pause
        request = Request("a", below[0], BLOCKS)
        try:
            self.assertIsNone(scheduler.look_up(request, 0))
            scheduler._tiers = looked
            now[0] = 29.0
            self.assertIsNone(scheduler.look_up(request, 0))
            now[0] = 30.5
            self.assertEqual(scheduler.look_up(request, 0), 0)
            self.assertEqual(self.counted["late_blocks"], BLOCKS)
        finally:
            self.daemon.resume()
        plan = scheduler.plan([("a", 0, BLOCKS * kv.TOKENS, lambda: range(BLOCKS + 1))])
        self.assertIsNone(plan.saves)  # it lies there still
        self.assertEqual(self.found(scheduler, Request("b", below[0], BLOCKS))[0],
                         BLOCKS * kv.TOKENS)

    def test_a_daemon_that_stands_still_is_asked_once(self):
        below = self.stored(5000)
        self.options = dataclasses.replace(self.options, hold_timeout=0.05, wait=0.2)
        scheduler = self.scheduler()
        self.daemon.pause()
        try:
            for i in range(50):  # 2.5 s, if each of them waited
                self.assertEqual(scheduler.look_up(Request(str(i), below[0], BLOCKS), 0), 0)
        finally:
            self.daemon.resume()

    def test_an_aborted_request_leaves_nothing_behind(self):
        below = self.stored(6000)
        scheduler = self.scheduler()
        for i in range(600):  # more than a session may have of prefetches, or of holds
            request = Request(str(i), below[i % len(below)], BLOCKS)
            scheduler.look_up(request, 0)
            scheduler.finished(str(i))
            scheduler.plan([])
        self.assertEqual(self.found(scheduler, Request("last", below[-1], BLOCKS))[0],
                         BLOCKS * kv.TOKENS)

    def test_all_ranks_come_up(self):
        layouts = [kv.layout(rank=rank, world=2) for rank in (0, 1)]
        below = set(range(7000, 7000 + REQUESTS))
        for layout in layouts:
            below &= set(self.stored(7000, self.session.register(layout)))
        seed = min(below)
        with self.session.begin_prefetch(self.session.register(layouts[1]), self.keys(seed)):
            self.session.wait(30)
        scheduler = self.scheduler(layouts)
        tokens, waited = self.found(scheduler, Request("a", seed, BLOCKS))
        self.assertEqual(tokens, BLOCKS * kv.TOKENS)
        self.assertGreater(waited, 0)
