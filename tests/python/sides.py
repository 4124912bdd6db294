# SPDX-License-Identifier: Apache-2.0
"""sides.py - the two sides of speckv_vllm for tests, without vLLM: a request is anything with the
fields that scheduler.py uses; a KV cache is NumPy arrays."""

import unittest

import daemon
import kv
import numpy as np
from speckv_vllm.options import Options
from speckv_vllm.scheduler import SchedulerSide
from speckv_vllm.worker import WorkerSide

import speckv

PAGES = 16


class Request:
    """tokens: known so far, as in vLLM."""

    skip_reading_prefix_cache = False

    def __init__(self, name, seed, blocks, salt=b""):
        self.request_id, self.salt = name, salt
        chosen = np.random.default_rng(seed)
        self.all_token_ids = chosen.integers(0, 1 << 20, blocks * kv.TOKENS + 1).tolist()

    @property
    def num_tokens(self):
        return len(self.all_token_ids)


class Sides(unittest.TestCase):
    """A daemon a class, and what makes the two sides. daemon_facts: of daemon.Daemon."""

    daemon_facts = {}

    @classmethod
    def setUpClass(cls):
        cls.daemon = daemon.Daemon(**cls.daemon_facts)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.close()

    def setUp(self):
        self.options = Options(socket=self.daemon.socket, preset="exact", hold_timeout=30.0,
                               hold=60.0, timeout=30.0)
        self.counted = {}

    def count(self, **numbers):
        for name, number in numbers.items():
            self.counted[name] = self.counted.get(name, 0) + number

    def scheduler(self, layouts=None, **announcing):
        side = SchedulerSide(self.options, lambda request: request.salt, self.count, **announcing)
        self.addCleanup(side.close)
        side.register(layouts or [kv.layout()])
        return side

    def worker(self, seed=None, layout=None, workers=1):
        """Returns: (side, its KV cache as [layer, K and V, page, ...])."""
        shape = (kv.LAYERS, 2, PAGES, kv.HEADS, kv.TOKENS, kv.DIM)
        cache = np.zeros(shape, np.float16) if seed is None else kv.values(*shape, seed=seed)
        side = WorkerSide(self.options, self.count, layout or kv.layout(),
                          [each[0] for each in cache], [each[1] for each in cache], "bhtc", 1 << 20,
                          workers)
        self.addCleanup(side.close)
        return side, cache

    @staticmethod
    def step(worker, plan):
        worker.begin(plan)
        for layer in range(kv.LAYERS):
            worker.wait_layer(layer)
            worker.layer_done(layer)
        return worker.finish()

    def computed(self, scheduler, worker, request, pages):
        """The request's first step, nothing looked up."""
        plan = scheduler.plan([(request.request_id, 0, request.num_tokens, lambda: pages)])
        outcome, failed = self.step(worker, plan)
        scheduler.step_done(outcome)
        self.assertEqual(failed, [])
        return plan

    def wait_for(self, keys):
        """What was committed is there once the daemon has answered."""
        with speckv.Session(socket=self.daemon.socket) as session:
            layout = session.register(kv.layout())
            for _ in range(1000):
                if session.exists(layout, keys)[0] == len(keys):
                    return
                session.wait(0.01) or session.hold(layout, keys[:1], 0.001)
        self.fail("never stored")
