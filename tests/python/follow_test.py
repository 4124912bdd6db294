# SPDX-License-Identifier: Apache-2.0
"""Follower: what it knows is what the pool says, through stores, removals, evictions, changes that
were lost, and a daemon that is killed and started again."""

import time
import unittest

import numpy as np

import daemon
import kv
import speckv


class FollowTest(unittest.TestCase):
    def setUp(self):
        self.daemon = daemon.Daemon(pool="16MiB")
        self.addCleanup(self.daemon.close)
        self.session = speckv.Session(socket=self.daemon.socket)
        self.addCleanup(self.session.close)
        self.layout = self.session.register(kv.layout())
        self.keys = kv.keys(600, 5)
        self.ids = [bytes(each) for each in self.layout.block_ids(self.keys)]
        self.k = kv.values(16, kv.LAYERS, kv.HEADS, kv.TOKENS, kv.DIM)
        self.follower = speckv.Follower(self.session)
        self.known = set()

    def store(self, at):
        batch = self.layout.put_batch(self.keys[at : at + 16], self.k, self.k, "blhtc")
        self.assertEqual(self.session.store(self.layout, batch), 16)

    def follow(self):
        anew, stored, removed = self.follower.changes()
        self.assertFalse(set(stored) & set(removed))
        self.known = ((set() if anew else self.known) | set(stored)) - set(removed)
        return anew

    def there(self):
        _, hits = self.session.exists(self.layout, self.keys)
        return {each for each, hit in zip(self.ids, hits) if hit}

    def test_it_knows_what_is_there(self):
        self.assertTrue(self.follow())
        for at in np.random.default_rng(3).integers(0, 584, 200):
            self.store(int(at))
            self.session.remove(self.layout, self.keys[at : at + 2])
            self.session.wait(10)
            self.session.reap()
            self.assertFalse(self.follow())
        while self.session.wait(0.2):
            self.session.reap()
        self.follow()
        self.assertEqual(self.known, self.there())
        self.assertGreater(len(self.known), 50)
        self.assertEqual(self.follower.lost, 0)

    def test_a_new_daemon_begins_anew(self):
        self.store(0)
        self.follow()
        self.daemon.kill()
        self.assertFalse(self.follow())
        self.daemon.start()
        for _ in range(400):
            if self.follow():
                break
            time.sleep(0.05)
        self.assertEqual(self.known, self.there())
        self.assertEqual(len(self.known), 16)

    def test_ids_lead_back_to_keys(self):
        np.testing.assert_array_equal(self.layout.block_ids(self.layout.block_ids(self.keys)),
                                      self.keys)


if __name__ == "__main__":
    unittest.main()
