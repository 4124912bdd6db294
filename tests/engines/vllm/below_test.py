# SPDX-License-Identifier: Apache-2.0
"""A pool that holds a third of the prompts, with a tier below it, under real engines, by the
connector and by SpeckvTier: what was evicted comes up while its request waits, and answers are the
engine's own warm ones. Same rule as connector_test.py, and its zeroed control says what a test of
this kind can see. Control here: wait 0, and most prompts are computed."""

import unittest

import engines
from engines import CONNECTED_S, Engine, prompts

import daemon

BLOCK_BYTES = 2949120
PROMPTS = prompts(8, seed=31)  # 32 blocks, over a pool of 11
HIT = 4 * engines.BLOCK
ALL = [HIT] * len(PROMPTS)


def cached(answers):
    return [count for _, count in answers]


class BelowTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        native = Engine("below-native")
        try:
            native.generate(PROMPTS)
            cls.warm = native.generate(PROMPTS)
        finally:
            native.close()
        assert cached(cls.warm) == ALL

    def setUp(self):
        self.daemon = daemon.Daemon(pool="32MiB", spill="512MiB")
        self.addCleanup(self.daemon.close)

    def by_connector(self, name, wait):
        options = {"socket": self.daemon.socket, "timeout": CONNECTED_S, "hold_timeout": 5.0,
                   "wait": wait}
        return self.engine(name, options, enable_prefix_caching=False)

    def by_tier(self, name, wait):
        options = {"spec_name": "SpeckvSpec", "spec_module_path": "speckv_vllm",
                   "cpu_bytes_to_use": 10 * BLOCK_BYTES,
                   "secondary_tiers": [{"type": "SpeckvTier", "module_path": "speckv_vllm",
                                        "socket": self.daemon.socket, "wait": wait}]}
        return self.engine(name, options, connector=(None, "OffloadingConnector"),
                           num_gpu_blocks_override=engines.BLOCKS_FEW)

    def engine(self, name, options, **arguments):
        # the daemon's folder may lie in /dev/shm
        made = Engine(name, self.daemon, options, own_shm=False, **arguments)
        self.addCleanup(made.close)
        return made

    def test_the_connector_finds_what_a_small_pool_evicted(self):
        first = self.by_connector("below-first", 30.0)
        first.generate(PROMPTS)
        first.close()
        hasty = self.by_connector("below-hasty", 0.0)
        self.assertLessEqual(sum(count == HIT for count in cached(hasty.generate(PROMPTS))), 3)
        hasty.close()
        other = self.by_connector("below-other", 30.0)
        self.assertEqual(other.generate(PROMPTS), self.warm)
        counted = other.metrics()
        self.assertGreaterEqual(counted["speckv_below_blocks"], 16)
        self.assertEqual(counted["speckv_late_blocks"], 0)
        self.assertEqual(counted["speckv_loaded_blocks"], 4 * len(PROMPTS))
        self.assertEqual(counted["speckv_saved_blocks"], 0)  # nothing of it is saved again
        both = other.generate(PROMPTS[:2], together=True)  # as many as the pool holds
        self.assertEqual(cached(both), ALL[:2])

    def test_the_tier_finds_what_a_small_pool_evicted(self):
        first = self.by_tier("below-tier-first", 30.0)
        first.generate(PROMPTS)
        first.end()
        first.close()
        hasty = self.by_tier("below-tier-hasty", 0.0)
        self.assertLessEqual(sum(count == HIT for count in cached(hasty.generate(PROMPTS))), 3)
        hasty.end()
        hasty.close()
        other = self.by_tier("below-tier-other", 30.0)
        self.assertEqual(other.generate(PROMPTS), self.warm)
        self.assertEqual(other.end(), [])
