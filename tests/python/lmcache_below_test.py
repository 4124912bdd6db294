# SPDX-License-Identifier: Apache-2.0
"""SpeckvClient over a pool that is too small, with a real tier below it: what was evicted is there,
comes back bit for bit, is not stored again, and is deleted; and nobody waits for a daemon that
stands still. Control: wait 0, and what lies below is a miss."""

import time
import unittest

import daemon
import numpy as np
from lmcache_client_test import WAIT_S, Caller, names, noise

OBJECTS, BYTES = 400, 60_000  # 24 MB, over a pool of 16 MiB
ROWS = {"dtype": "f16", "layers": 4, "kv_heads": 2, "head_dim": 64, "tokens": 32}


def chunk(seed):
    return np.random.default_rng(seed).standard_normal((2, 4, 32, 128)).astype(np.float16)


class BelowTest(unittest.TestCase):
    def setUp(self):  # each its own: what came up for one test would stay in the pool
        self.daemon = daemon.Daemon(pool="16MiB", spill="128MiB")
        self.addCleanup(self.daemon.close)
        self.filled = 0

    def caller(self, **parameters):
        caller = Caller(**{"socket": self.daemon.socket, "wait": 60.0, **parameters})
        self.addCleanup(caller.client.close)
        return caller

    def spilled(self, count, make=lambda seed: noise(BYTES, seed), **parameters):
        """Stores OBJECTS under names of their own. Returns: the places of some that the pool has
        not any more, and all names."""
        self.filled += 1
        keys = names(OBJECTS, model=f"filled{self.filled}")
        writer = self.caller(**parameters)
        for at in range(0, OBJECTS, 8):
            well, error, _ = writer.set(keys[at : at + 8], [make(i) for i in range(at, at + 8)])
            self.assertTrue(well, error)
            time.sleep(0.002)  # a storm would outrun any disk
        there = self.caller(wait=0.0, **parameters).exists(keys)
        places = [i for i in range(OBJECTS) if not there[i]][:count]
        self.assertEqual(len(places), count)
        return places, keys

    def test_what_was_evicted_comes_back(self):
        for make, parameters in ((lambda seed: noise(BYTES, seed), {}), (chunk, {"layout": ROWS})):
            places, keys = self.spilled(40, make, **parameters)
            wanted = [keys[i] for i in places]
            stored = [make(i) for i in places]
            room = [np.zeros_like(each) for each in stored]
            hasty = self.caller(wait=0.0, **parameters)
            self.assertEqual(hasty.exists(wanted), [False] * 40)
            self.assertEqual(hasty.get(wanted, room)[2], [False] * 40)
            caller = self.caller(**parameters)  # a server that was started again
            self.assertEqual(caller.exists([*wanted, "nobody's"]), [True] * 40 + [False])
            self.assertEqual(caller.get(wanted, room), [True, "", [True] * 40])
            for a, b in zip(stored, room):
                np.testing.assert_array_equal(a, b)

    def test_a_load_alone_brings_it_up_and_misses_among_it_are_misses(self):
        places, keys = self.spilled(12)
        wanted = [keys[i] for i in places]
        for at in (9, 4, 0):
            wanted.insert(at, f"nobody's {at}")
        room = [np.zeros(BYTES, np.uint8) for _ in wanted]
        good = self.caller().get(wanted, room)[2]
        self.assertEqual(good, ["nobody" not in name for name in wanted])
        for name, array in zip(wanted, room):
            if "nobody" not in name:
                np.testing.assert_array_equal(array, noise(BYTES, keys.index(name)))

    def test_what_lies_below_is_not_stored_again(self):
        places, keys = self.spilled(20)
        wanted = [keys[i] for i in places]
        caller = self.caller()
        answer = caller.set([*wanted, "fresh"], [noise(BYTES, i) for i in [*places, 5000]])
        self.assertEqual(answer, [True, "", [True] * 21])
        self.assertEqual(caller.client.stats()["puts"], 1)
        self.assertEqual(self.caller(wait=0.0).exists([*wanted, "fresh"]), [False] * 20 + [True])

    def test_what_lies_below_is_deleted(self):
        places, keys = self.spilled(10)
        wanted = [keys[i] for i in places]
        for wait, some in ((60.0, wanted[:5]), (0.0, wanted[5:8])):
            self.assertEqual(self.caller(wait=wait).delete([*some, "nobody's"]),
                             [True] * len(some) + [False])
        self.assertEqual(self.caller().exists(wanted), [False] * 8 + [True] * 2)

    def test_a_daemon_that_stands_still_is_misses_in_time(self):
        places, keys = self.spilled(8)
        wanted = [keys[i] for i in places]
        caller = self.caller(wait=0.3, timeout=60.0)
        self.daemon.pause()
        try:
            self.assertEqual(caller.exists(wanted), [False] * 8)
            room = [np.zeros(BYTES, np.uint8) for _ in wanted]
            self.assertEqual(caller.get(wanted, room)[2], [False] * 8)
        finally:
            self.daemon.resume()
        until = time.monotonic() + WAIT_S  # it is not asked for a while
        while caller.exists(wanted) != [True] * 8:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)


if __name__ == "__main__":
    unittest.main()
