# SPDX-License-Identifier: Apache-2.0
"""Side bytes through the package: what is put with KV comes back with it, and what lacks them or
has others is a ValueError that says so."""

import dataclasses
import unittest

import daemon
import kv
import numpy as np

import speckv

BYTES = 5000


class SideTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = daemon.Daemon()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.close()

    def setUp(self):
        self.session = speckv.Session(socket=self.daemon.socket)
        self.addCleanup(self.session.close)
        self.layout = self.session.register(dataclasses.replace(kv.layout(), side_bytes=BYTES))
        self.shape = (3, kv.LAYERS, kv.HEADS, kv.TOKENS, kv.DIM)

    def test_they_come_back_with_their_block(self):
        k, v = kv.values(*self.shape, seed=1), kv.values(*self.shape, seed=2)
        side = np.random.default_rng(3).integers(0, 256, (3, BYTES), np.uint8)
        keys = kv.keys(3, 90)
        batch = self.layout.put_batch(keys, k, v, "blhtc", position=0, side=side)
        self.assertEqual(self.session.store(self.layout, batch), 3)
        k2, v2 = np.zeros_like(k), np.zeros_like(v)
        wide = np.zeros((3, BYTES + 40), np.uint8)  # rows may lie apart
        batch = self.layout.get_batch(keys, k2, v2, "blhtc", side=wide[:, :BYTES])
        self.assertEqual(self.session.get(self.layout, batch), 3)
        np.testing.assert_array_equal(k, k2)
        np.testing.assert_array_equal(v, v2)
        np.testing.assert_array_equal(side, wide[:, :BYTES])
        self.assertFalse(wide[:, BYTES:].any())

    def test_wrong_ones_are_said(self):
        k = kv.values(*self.shape, seed=1)
        keys = kv.keys(3, 95)
        for side in (None, np.zeros((3, BYTES - 1), np.uint8), np.zeros((2, BYTES), np.uint8),
                     np.zeros((3, BYTES, 2), np.uint8)[:, :, 0]):
            with self.assertRaisesRegex(ValueError, "side"):
                self.layout.put_batch(keys, k, k, "blhtc", side=side)
        with self.assertRaisesRegex(ValueError, "side_bytes"):
            kv.layout().put_batch(keys, k, k, "blhtc", side=np.zeros((3, BYTES), np.uint8))
        with self.assertRaisesRegex(ValueError, "side_bytes"):
            dataclasses.replace(kv.layout(), side_bytes=1 << 30)


if __name__ == "__main__":
    unittest.main()
