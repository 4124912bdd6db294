# SPDX-License-Identifier: Apache-2.0
"""The two sides of speckv_vllm without vLLM (sides.py), against a real daemon: what one request's
steps save, another one's load, and nothing is saved that a failed load may have spoilt."""

import errno
import sys
import types

import kv
import numpy as np
from sides import PAGES, Request, Sides
from speckv_vllm.announce import Announce
from speckv_vllm.options import Options
from speckv_vllm.plan import Moves, Outcome, Plan
from speckv_vllm.worker import layer_groups

import speckv


class SidesTest(Sides):
    def test_what_one_saves_another_loads(self):
        scheduler, (worker, cache) = self.scheduler(), self.worker(seed=1)
        request = Request("a", 1, 3)
        self.assertEqual(scheduler.look_up(request, 0), 0)
        plan = self.computed(scheduler, worker, request, [4, 2, 7, 9])
        self.assertEqual(plan.saves.pages.tolist(), [4, 2, 7])  # the last is not full
        self.assertEqual(plan.saves.positions.tolist(), [0, kv.TOKENS, 2 * kv.TOKENS])
        self.wait_for(plan.saves.keys)
        other, (reader, into) = self.scheduler(), self.worker()
        again = Request("b", 1, 3)
        self.assertEqual(other.look_up(again, kv.TOKENS), 2 * kv.TOKENS)  # has the first itself
        other.allocated(again, 2 * kv.TOKENS)
        plan = other.plan([("b", 3 * kv.TOKENS, 1, lambda: [0, 5, 6, 8])])
        self.assertIsNone(plan.saves)
        self.assertEqual(self.step(reader, plan), (Outcome(1), []))
        np.testing.assert_array_equal(into[:, :, [5, 6]], cache[:, :, [2, 7]])
        self.assertFalse(into[:, :, [0, 8]].any())
        self.assertEqual(self.counted["loaded_blocks"], 2)

    def test_a_salt_keeps_apart(self):
        scheduler, (worker, _) = self.scheduler(), self.worker(seed=2)
        request = Request("a", 2, 2, b"adapter")
        scheduler.look_up(request, 0)
        self.wait_for(self.computed(scheduler, worker, request, [0, 1, 2]).saves.keys)
        for name, salt, found in (("b", b"", 0), ("c", b"other", 0), ("d", b"adapter", 2)):
            request = Request(name, 2, 2, salt)
            self.assertEqual(scheduler.look_up(request, 0), found * kv.TOKENS)

    def announcing(self):
        """A scheduler whose engine calls block i of request "a" "a i", and has a stream."""
        return self.scheduler(
            names_of=lambda request, first: ([f"{request.request_id} {i}".encode() for i in range(
                first, request.num_tokens // kv.TOKENS)], None),
            announce=lambda session: Announce(session, self.options, True))

    def test_routers_hear_of_what_comes_and_goes(self):
        scheduler, (worker, _) = self.announcing(), self.worker(seed=7)
        request = Request("a", 70, 3)
        scheduler.look_up(request, 0)
        scheduler.take_events()  # of other tests' blocks nobody here knows a name
        keys = self.computed(scheduler, worker, request, [4, 2, 7, 9]).saves.keys
        self.wait_for(keys)
        stored, = scheduler.take_events()
        self.assertEqual((stored.parent, [block.hash for block in stored.blocks]),
                         (None, [b"a 0", b"a 1", b"a 2"]))
        self.assertEqual([token for block in stored.blocks for token in block.tokens],
                         request.all_token_ids[: 3 * kv.TOKENS])
        other = self.announcing()  # finds them, and says what its own engine calls them
        other.look_up(Request("b", 70, 3), 0)
        found = [block.hash for event in other.take_events() for block in event.blocks]
        self.assertEqual(found, [b"b 0", b"b 1", b"b 2"])
        request.all_token_ids += [7] * kv.TOKENS  # the fourth fills while decoding
        plan = scheduler.plan([("a", 3 * kv.TOKENS + 1, kv.TOKENS - 1, lambda: [4, 2, 7, 9, 1])])
        scheduler.step_done(self.step(worker, plan)[0])
        self.wait_for(plan.saves.keys)
        stored, = scheduler.take_events()
        self.assertEqual((stored.parent, stored.blocks[0].hash), (b"a 2", b"a 3"))
        other.finished("b")  # gives its hold back
        with speckv.Session(socket=self.daemon.socket) as session:
            session.remove(session.register(kv.layout()), keys[1:2])
            session.wait(30)
            self.assertEqual(session.reap()["result"].tolist(), [0])
        removed, = scheduler.take_events()
        self.assertEqual(set(removed.hashes), {b"a 1", b"a 2", b"a 3"})  # and what hangs below

    def test_blocks_wait_for_their_tokens(self):
        # a block may fill in a step whose tokens are not known yet when it is planned
        scheduler = self.scheduler()
        request = Request("a", 3, 1)
        scheduler.look_up(request, 0)
        pages = range(PAGES)
        first = scheduler.plan([("a", 0, 2 * kv.TOKENS, lambda: pages)])
        self.assertEqual(first.saves.pages.tolist(), [0])
        second = scheduler.plan([("a", 2 * kv.TOKENS, 1, lambda: pages)])
        self.assertIsNone(second.saves)
        request.all_token_ids += [7] * kv.TOKENS
        third = scheduler.plan([("a", 2 * kv.TOKENS + 1, 1, lambda: pages)])
        self.assertEqual(third.saves.pages.tolist(), [1])
        np.testing.assert_array_equal(third.saves.parents, first.saves.keys)

    def test_a_looked_up_block_is_held_until_its_step_is_done(self):
        scheduler, (worker, _) = self.scheduler(), self.worker(seed=4)
        request = Request("a", 4, 2)
        scheduler.look_up(request, 0)
        keys = self.computed(scheduler, worker, request, [0, 1, 2]).saves.keys
        self.wait_for(keys)
        again = Request("b", 4, 2)
        self.assertEqual(scheduler.look_up(again, 0), 2 * kv.TOKENS)
        self.assertEqual(scheduler.look_up(again, 0), 2 * kv.TOKENS)
        self.assertEqual(self.removed(keys[1:]), -errno.EBUSY)
        scheduler.allocated(again, 2 * kv.TOKENS)
        plan = scheduler.plan([("b", 2 * kv.TOKENS, 1, lambda: [5, 6, 7])])
        scheduler.finished("b")  # aborted while its step runs
        self.assertEqual(self.removed(keys[1:]), -errno.EBUSY)
        scheduler.step_done(self.step(worker, plan)[0])
        self.assertEqual(self.removed(keys[1:]), 0)
        waiting = Request("c", 4, 1)
        self.assertEqual(scheduler.look_up(waiting, 0), kv.TOKENS)
        self.assertEqual(self.removed(keys[:1]), -errno.EBUSY)
        scheduler.finished("c")  # aborted before it ran
        self.assertEqual(self.removed(keys[:1]), 0)

    def removed(self, keys):
        with speckv.Session(socket=self.daemon.socket) as session:
            session.remove(session.register(kv.layout()), keys)
            self.assertTrue(session.wait(10))
            return int(session.reap()["result"][0])

    def test_a_failed_load_spoils_what_follows_until_it_is_known(self):
        worker, _ = self.worker(seed=5)
        keys = kv.keys(4, 5)
        load = Moves(keys[:1], np.array([3]))  # nobody stored it
        save = [Moves(keys[i : i + 1], np.array([i]), np.zeros((1, 32), np.uint8), np.array([0]))
                for i in range(4)]
        self.assertEqual(self.step(worker, Plan(1, 0, (), load, save[1])), (Outcome(1, True), [3]))
        self.assertEqual(self.step(worker, Plan(2, 0, (), None, save[2])), (Outcome(2, True), []))
        self.assertEqual(self.step(worker, Plan(3, 1, (), None, save[3])), (Outcome(3, False), []))
        self.wait_for(keys[3:])
        with speckv.Session(socket=self.daemon.socket) as session:
            hits = session.exists(session.register(kv.layout()), keys)[1]
        self.assertEqual(hits.tolist(), [False, False, False, True])

    def test_a_load_that_failed_on_one_rank_spoils_all(self):
        layouts = [kv.layout(rank=rank, world=2) for rank in (0, 1)]
        scheduler = self.scheduler(layouts)
        workers = [self.worker(seed=rank, layout=layout, workers=2)[0]
                   for rank, layout in enumerate(layouts)]
        request = Request("a", 8, 3)
        scheduler.look_up(request, 0)
        scheduled = [("a", 0, 3 * kv.TOKENS, lambda: [0, 1, 2])]
        plan = scheduler.plan(scheduled)
        lost = Plan(1, 0, (), Moves(kv.keys(1, 80), np.array([5])), plan.saves)
        outcomes = [self.step(workers[0], lost)[0], self.step(workers[1], plan)[0]]
        self.assertEqual([outcome.unsaved for outcome in outcomes], [True, False])
        scheduler.step_done(outcomes[0].joined(outcomes[1]))
        again = scheduler.plan(scheduled)
        np.testing.assert_array_equal(again.saves.keys, plan.saves.keys)
        for worker in workers:
            worker.begin(again)  # the second one drops what it has of the first step
        with speckv.Session(socket=self.daemon.socket) as session:
            there = session.register(layouts[1])
            session.wait(0.2)
            self.assertFalse(session.exists(there, plan.saves.keys)[1].any())
            outcome = [self.step(worker, again)[0] for worker in workers][0]
            self.assertFalse(session.exists(there, plan.saves.keys)[1].any())
            scheduler.step_done(outcome)
            for worker in workers:
                self.step(worker, scheduler.plan([]))
            for _ in range(1000):
                if session.exists(there, plan.saves.keys)[1].all():
                    break
                session.wait(0.01) or session.hold(there, plan.saves.keys[:1], 0.001)
            self.assertTrue(session.exists(there, plan.saves.keys)[1].all())

    def test_what_was_not_saved_is_saved_later(self):
        scheduler = self.scheduler()
        request = Request("a", 6, 2)
        scheduler.look_up(request, 0)
        first = scheduler.plan([("a", 0, 2 * kv.TOKENS, lambda: [0, 1, 2])])
        scheduler.step_done(Outcome(1, unsaved=True))
        again = scheduler.plan([("a", 2 * kv.TOKENS, 1, lambda: [0, 1, 2])])
        np.testing.assert_array_equal(first.saves.keys, again.saves.keys)

    def test_all_ranks_must_have_it(self):
        layouts = [kv.layout(rank=rank, world=2) for rank in (0, 1)]
        scheduler = self.scheduler(layouts)
        workers = [self.worker(seed=rank, layout=layout)[0] for rank, layout in enumerate(layouts)]
        request = Request("a", 7, 3)
        scheduler.look_up(request, 0)
        plan = scheduler.plan([("a", 0, 3 * kv.TOKENS, lambda: [0, 1, 2])])
        half = Plan(1, 0, (), None, Moves(*(column[:2] for column in vars(plan.saves).values())))
        self.step(workers[0], half)
        self.step(workers[1], plan)
        for _ in range(1000):
            found = self.scheduler(layouts).look_up(Request("b", 7, 3), 0)
            if found:
                break
        self.assertEqual(found, 2 * kv.TOKENS)

    def test_layers_come_in_groups_that_grow(self):
        self.assertEqual(layer_groups(4), [(0, 1), (1, 2), (3, 1)])
        self.assertEqual(sum(count for _, count in layer_groups(30)), 30)

    def test_options_that_are_none(self):
        with self.assertRaisesRegex(ValueError, "'pool' is none of namespace, socket"):
            Options.of({"pool": 1})

    def test_an_unknown_vllm_is_refused(self):
        sys.modules["vllm"] = types.SimpleNamespace(__version__="0.33.1")
        self.addCleanup(sys.modules.pop, "vllm")
        with self.assertRaisesRegex(ImportError, "vLLM 0.33.1 is not known .* expected 0.32.x"):
            import speckv_vllm

            speckv_vllm.SpeckvConnector
