# SPDX-License-Identifier: Apache-2.0
"""vLLM's server with SpeckvConnector over HTTP, by OpenAI's API: what one server stored, the next
one loads, and its answers equal those that vLLM gives from its own prefix cache, prompt by prompt;
with zeroed KV they do not. A daemon that dies while requests are in flight costs time, no answer.
"""

import time
import unittest

import engines
import serving
from engines import prompts
from serving import Server

import daemon

PROMPTS = prompts(6, seed=41)
HIT = 4 * engines.BLOCK
BACK_S = 120  # until a daemon that came back counts as not found


class ServeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = daemon.Daemon(pool="512MiB")
        cls.addClassCleanup(cls.daemon.close)
        native = Server("native")
        try:
            cls.cold, cls.warm = (native.complete_each(PROMPTS) for _ in range(2))
        finally:
            native.stop()
        assert [cached for _, cached in cls.warm] == [HIT] * len(PROMPTS)
        first = Server("first", serving.connector(cls.daemon))
        try:
            cls.stored, cls.counted = first.complete_each(PROMPTS), first.metrics()
        finally:
            first.kill()  # as a crash: nothing is written back at an end

    def serve(self, name, transfer, *arguments):
        server = Server(name, transfer, *arguments)
        self.addCleanup(server.kill)
        return server

    def test_what_a_killed_server_stored_the_next_one_loads(self):
        self.assertEqual(self.stored, self.cold)
        self.assertEqual(self.counted["speckv_saved_blocks"], 4 * len(PROMPTS))
        server = self.serve("second", serving.connector(self.daemon), "--no-enable-prefix-caching")
        self.assertEqual(server.complete_each(PROMPTS), self.warm)
        counted = server.metrics()
        self.assertEqual(counted["speckv_loaded_blocks"], 4 * len(PROMPTS))
        self.assertEqual(counted["speckv_failed_blocks"], 0)
        self.survive(server)
        self.assertTrue(server.stop(), server.said()[-2000:])

    def survive(self, server):
        """The daemon dies while ten requests load and save."""
        futures = server.complete_together(PROMPTS + prompts(4, seed=42), max_tokens=24)
        before = server.metrics()["speckv_loaded_blocks"]
        until = time.monotonic() + serving.ANSWER_S
        while server.metrics()["speckv_loaded_blocks"] == before and time.monotonic() < until:
            time.sleep(0.02)
        self.daemon.kill()
        self.assertEqual([len(each.result()[0]) for each in futures], [24] * 10)
        self.assertEqual(server.complete_each(PROMPTS[:2]), self.warm[:2])  # mapped: still read
        self.daemon.start()
        until, again = time.monotonic() + BACK_S, 43
        while True:  # finds the daemon, a few steps after it came back
            asked = prompts(1, seed=again)
            server.complete_each(asked)
            if server.complete_each(asked)[0][1] == HIT:
                break
            self.assertLess(time.monotonic(), until, self.daemon.log())
            again += 1
        self.assertEqual(server.complete_each(PROMPTS), self.warm)

    def test_zeroed_blocks_change_each_answer(self):
        transfer = {**serving.connector(self.daemon), "kv_connector": "ZeroingConnector",
                    "kv_connector_module_path": "altered"}
        server = self.serve("zeroing", transfer)
        for (zeroed, cached), (right, _) in zip(server.complete_each(PROMPTS), self.warm):
            self.assertEqual(cached, HIT)
            self.assertNotEqual(zeroed, right)
