# SPDX-License-Identifier: Apache-2.0
"""Paged and Puts against a real daemon: blocks of scattered pages, K turned inside a head as some
engines hold it, come back bit for bit into other pages; a batch layer by layer shows nothing until
its commit, and what the arena has no room for says so."""

import errno
import os
import tempfile
import unittest

import daemon
import kv
import numpy as np

import speckv

PAGES = 7
AXES = ("bhct", "bhtc")


class PagedTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = daemon.Daemon()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.close()

    def setUp(self):
        self.session = speckv.Session(socket=self.daemon.socket, arena_bytes=1 << 20)
        self.addCleanup(self.session.close)
        self.layout = self.session.register(kv.layout())

    def cache(self, seed=None):
        """[K and V, layer, page, head, ...] as one allocation; K lies [channel][token]. Returns:
        (memory, what Paged says of it)."""
        half = kv.TOKENS * kv.DIM
        shape = (kv.LAYERS, PAGES, kv.HEADS, 2 * half)
        memory = np.zeros(shape, np.float16) if seed is None else kv.values(*shape, seed=seed)
        k = [each[..., :half].reshape(PAGES, kv.HEADS, kv.DIM, kv.TOKENS) for each in memory]
        v = [each[..., half:].reshape(PAGES, kv.HEADS, kv.TOKENS, kv.DIM) for each in memory]
        return memory, speckv.Paged(self.layout, k, v, AXES)

    def test_scattered_pages_come_back_in_others(self):
        source, paged = self.cache(seed=1)
        keys = kv.keys(3, 1)
        parents = np.concatenate([np.zeros((1, 32), np.uint8), keys[:-1]])
        batch = paged.put_batch(keys, [5, 0, 3], parents=parents, positions=[0, 32, 64])
        self.assertEqual(batch.ops["meta"]["position"].tolist(), [0, 32, 64])
        self.assertEqual(self.session.store(self.layout, batch), 3)
        target, into = self.cache()
        whole = into.get_batch(keys, [1, 2, 6])
        for layer in range(kv.LAYERS):
            self.assertEqual(self.session.get(self.layout, whole.layers(layer, 1)), 3)
            np.testing.assert_array_equal(target[layer, [1, 2, 6]], source[layer, [5, 0, 3]])
            self.assertFalse(target[layer + 1:].any())
        self.assertFalse(target[:, [0, 3, 4, 5]].any())

    def test_a_batch_in_parts(self):
        source, paged = self.cache(seed=2)
        keys = kv.keys(3, 2)
        batch = paged.put_batch(keys, [4, 1, 2])
        batch.ops["user_data"] = [7, 8, 9]
        with self.session.begin_batch(self.layout, batch) as puts:
            self.assertEqual(batch.results.tolist(), [0, 0, 0])
            for layer in (2, 0, 3):
                self.assertEqual(puts.layers(layer, 1), 3)
            self.assertEqual(self.session.exists(self.layout, keys)[0], 0)
            self.assertEqual(puts.layers(1, 1), 3)
            self.assertEqual(puts.commit(), 3)
        done = []
        while len(done) < 3 and self.session.wait(10):
            done += [(c["user_data"], c["result"]) for c in self.session.reap()]
        self.assertEqual(sorted(done), [(7, 0), (8, 0), (9, 0)])
        target, into = self.cache()
        self.assertEqual(self.session.get(self.layout, into.get_batch(keys, [0, 1, 2])), 3)
        np.testing.assert_array_equal(target[:, :3], source[:, [4, 1, 2]])

    def test_parts_that_cannot_be(self):
        _, paged = self.cache(seed=3)
        keys = kv.keys(2, 3)
        batch = paged.put_batch(keys, [0, 1])
        with self.session.begin_batch(self.layout, batch) as puts:
            puts.layers(0, 3)
            self.assertEqual(puts.layers(3, 2), 0)  # past the last layer: both are given up
            self.assertEqual(batch.results.tolist(), [-errno.ERANGE] * 2)
            self.assertEqual(puts.commit(), 0)
        with self.session.begin_batch(self.layout, batch) as puts:
            puts.layers(0, 3)
            self.assertEqual(puts.commit(), 0)  # a layer is missing
        self.assertEqual(batch.results.tolist(), [-errno.ENODATA] * 2)
        self.assertEqual(self.session.exists(self.layout, keys)[0], 0)

    def test_a_full_arena_stores_the_rest_afterwards(self):
        source, paged = self.cache(seed=4)
        keys = kv.keys(64, 4)  # 2 MiB of blocks in an arena of 1 MiB
        pages = np.arange(64) % PAGES
        batch = paged.put_batch(keys, pages)
        with self.session.begin_batch(self.layout, batch) as puts:
            begun = int((batch.results == 0).sum())
            self.assertTrue(0 < begun < 64)
            self.assertEqual(set(batch.results.tolist()), {0, -errno.EAGAIN})
            puts.layers(0, kv.LAYERS)
            self.assertEqual(puts.commit(), begun)
        rest = np.flatnonzero(batch.results)
        self.assertEqual(self.session.store(self.layout, paged.put_batch(keys[rest], pages[rest])),
                         64 - begun)
        target, into = self.cache()
        self.assertEqual(self.session.get(self.layout, into.get_batch(keys[-3:], [0, 1, 2])), 3)
        np.testing.assert_array_equal(target[:, :3], source[:, pages[-3:]])

    def test_pages_that_cannot_be(self):
        _, paged = self.cache()
        for pages in ([0, PAGES], [-1, 0], [0]):
            with self.assertRaises(ValueError):
                paged.get_batch(kv.keys(2, 5), pages)
        k = [np.zeros((PAGES, kv.HEADS, kv.TOKENS, kv.DIM), np.float16)] * kv.LAYERS
        with self.assertRaisesRegex(ValueError, "k: 3 arrays; expected one for each of 4 layers"):
            speckv.Paged(self.layout, k[:3], k, "bhtc")
        with self.assertRaisesRegex(ValueError, "along axis"):
            speckv.Paged(self.layout, k, k, "bhct")

    def test_files_digest(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.safetensors")
            with open(path, "wb") as file:
                file.write(b"weights")
            self.assertEqual(speckv.files_digest([path]), speckv.file_digest(path))
            with self.assertRaises(FileNotFoundError):
                speckv.files_digest([path + "x"])
