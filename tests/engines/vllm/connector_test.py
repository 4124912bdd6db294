# SPDX-License-Identifier: Apache-2.0
"""SpeckvConnector in a real engine. The rule: an answer from loaded KV equals the answer that the
engine gives from its own prefix cache, prompt by prompt; and where what was loaded is zeroed it
does not. (It need not equal the answer of a cold engine: computing the last tokens of a prompt
alone rounds otherwise than computing all of them.)"""

import signal
import unittest

import engines
from engines import Engine, prompts

import daemon

PROMPTS = prompts(6)
HIT = 4 * engines.BLOCK  # tokens of each prompt that can be reused


class ConnectorTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = daemon.Daemon(pool="256MiB")
        cls.addClassCleanup(cls.daemon.close)
        native = Engine("native")
        try:
            cls.cold, cls.warm = native.generate(PROMPTS), native.generate(PROMPTS)
        finally:
            native.close()
        assert [cached for _, cached in cls.warm] == [HIT] * len(PROMPTS)
        first = cls.first = Engine("first", cls.daemon, apart=True,
                                   num_gpu_blocks_override=engines.BLOCKS_FEW)
        cls.addClassCleanup(first.close)
        cls.stored = first.generate(PROMPTS)
        cls.counted = first.metrics()

    def engine(self, name, **arguments):
        engine = Engine(name, self.daemon, **arguments)
        self.addCleanup(engine.close)
        return engine

    def test_what_it_stored_it_loads(self):
        self.assertEqual(self.stored, self.cold)
        self.assertEqual(self.first.generate(PROMPTS), self.warm)
        loaded = self.first.metrics()["speckv_loaded_blocks"] - self.counted["speckv_loaded_blocks"]
        self.assertGreaterEqual(loaded, 12)  # the rest it had itself
        self.assertEqual(self.counted["speckv_saved_blocks"], 4 * len(PROMPTS))
        for name in ("dropped", "failed"):
            self.assertEqual(self.counted[f"speckv_{name}_blocks"], 0)

    def test_another_process_loads_it_without_a_prefix_cache_of_its_own(self):
        other = self.engine("other", enable_prefix_caching=False)
        self.assertEqual(other.generate(PROMPTS), self.warm)
        self.assertEqual(other.metrics()["speckv_loaded_blocks"], 4 * len(PROMPTS))

    def test_zeroed_blocks_change_each_answer(self):
        zeroing = self.engine("zeroing", connector=("altered", "ZeroingConnector"))
        for (zeroed, cached), (right, _) in zip(zeroing.generate(PROMPTS), self.warm):
            self.assertEqual(cached, HIT)
            self.assertNotEqual(zeroed, right)

    def test_a_failed_load_is_computed_and_nothing_of_it_is_saved(self):
        # the noise of a failed load must reach neither an answer nor the pool
        some, more = PROMPTS[:2], prompts(2, seed=5)
        failing = self.engine("failing", connector=("altered", "FailingConnector"))
        longer = [prompt[:HIT] + tail[: 2 * engines.BLOCK] for prompt, tail in zip(some, more)]
        answers = failing.generate(longer)
        self.assertEqual(failing.metrics()["speckv_failed_blocks"], 2)
        clean = Engine("clean")
        self.addCleanup(clean.close)
        self.assertEqual([tokens for tokens, _ in answers],
                         [tokens for tokens, _ in clean.generate(longer)])
        right = clean.generate(longer)
        self.assertEqual([cached for _, cached in right], [HIT + engines.BLOCK] * 2)
        self.assertEqual(self.first.generate(longer), right)

    def test_another_dtype_is_a_miss(self):
        half = self.engine("half", dtype="float16")
        self.assertEqual([cached for _, cached in half.generate(PROMPTS[:2])], [0, 0])
        self.assertEqual(half.metrics()["speckv_hit_blocks"], 0)

    def test_a_dead_daemon_is_survived(self):
        server = daemon.Daemon(pool="256MiB")
        self.addCleanup(server.close)
        engine = Engine("survivor", server, enable_prefix_caching=False)
        self.addCleanup(engine.close)
        self.assertEqual(engine.generate(PROMPTS[:3]), self.cold[:3])
        server.process.send_signal(signal.SIGSTOP)
        try:
            self.assertEqual(engine.generate(PROMPTS[:2]), self.warm[:2])  # mapped: still read
            self.assertEqual(len(engine.generate(prompts(2, seed=7))), 2)  # cannot be saved
        finally:
            server.process.send_signal(signal.SIGCONT)
        server.kill()
        self.assertEqual(engine.generate(PROMPTS[2:3]), self.warm[2:3])
        server.start()
        again = prompts(1, seed=8)
        for _ in range(20):  # finds the daemon some steps after it came back, and stores again
            if engine.generate(again)[0][1] == HIT:
                break
        self.assertEqual(engine.generate(again)[0][1], HIT)
        self.assertEqual(engine.generate(PROMPTS[:3]), self.warm[:3])
