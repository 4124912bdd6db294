# SPDX-License-Identifier: Apache-2.0
"""The package against a real daemon: what is put comes back bit for bit whatever the strides; what
cannot be is an OSError with the errno of speckv(7) and harms nothing."""

import errno
import os
import threading
import time
import unittest

import daemon
import kv
import numpy as np

import speckv
import speckv.parallel


class SessionTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = daemon.Daemon()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.close()

    def setUp(self):
        self.session = speckv.Session(socket=self.daemon.socket)
        self.addCleanup(self.session.close)
        self.layout = self.session.register(kv.layout())

    def stored(self, count, seed, axes="blhtc"):
        """Puts count random blocks. Returns (keys, k, v)."""
        shape = {"b": count, "l": kv.LAYERS, "h": kv.HEADS, "t": kv.TOKENS, "c": kv.DIM}
        k = kv.values(*(shape[axis] for axis in axes), seed=seed)
        v = kv.values(*(shape[axis] for axis in axes), seed=seed + 1000)
        keys = kv.keys(count, seed)
        batch = self.layout.put_batch(keys, k, v, axes, position=0)
        self.assertEqual(self.session.store(self.layout, batch), count)
        return keys, k, v

    def test_every_order_of_axes_comes_back(self):
        for seed, axes in enumerate(("blhtc", "blthc", "lbhct", "btlch", "bclht")):
            keys, k, v = self.stored(3, 10 + seed, axes)
            k2, v2 = np.zeros_like(k), np.zeros_like(v)
            batch = self.layout.get_batch(keys, k2, v2, axes)
            self.assertEqual(self.session.get(self.layout, batch), 3, axes)
            np.testing.assert_array_equal(k, k2)
            np.testing.assert_array_equal(v, v2)

    def test_reads_into_strides_of_its_own(self):
        keys, k, v = self.stored(2, 20)
        # one list entry a layer; K transposed inside a head, V as a slice of a wider array
        k2 = [np.zeros((2, kv.HEADS, kv.DIM, kv.TOKENS), np.float16) for _ in range(kv.LAYERS)]
        wide = [np.zeros((2, kv.HEADS, kv.TOKENS, 2 * kv.DIM), np.float16) for _ in k2]
        v2 = [each[..., kv.DIM:] for each in wide]
        batch = self.layout.get_batch(keys, k2, [each.swapaxes(2, 3) for each in v2], "bhct")
        self.assertEqual(self.session.get(self.layout, batch), 2)
        for layer in range(kv.LAYERS):
            np.testing.assert_array_equal(k[:, layer], k2[layer].swapaxes(2, 3))
            np.testing.assert_array_equal(v[:, layer], v2[layer])
            self.assertFalse(wide[layer][..., : kv.DIM].any())
        pair = self.layout.get_batch(keys, k2, v2, ("bhct", "bhtc"))
        self.assertEqual(self.session.get(self.layout, pair), 2)

    def test_layer_by_layer(self):
        keys, k, v = self.stored(2, 30)
        k2, v2 = np.zeros_like(k), np.zeros_like(v)
        whole = self.layout.get_batch(keys, k2, v2, "blhtc", stream=True)
        part = whole.layers(1, 2)
        self.assertEqual(self.session.get(self.layout, part), 2)
        np.testing.assert_array_equal(k[:, 1:3], k2[:, 1:3])
        self.assertFalse(k2[:, 0].any() or k2[:, 3].any())

    def test_a_block_in_parts(self):
        key = kv.keys(1, 40)
        k = kv.values(1, kv.LAYERS, kv.HEADS, kv.TOKENS, kv.DIM)
        v = k[::-1] * np.float16(0.5)
        views = self.layout.put_batch(key, k, v, "blhtc").views[0]
        with self.session.begin(self.layout, key, position=0) as put:
            for layer in (2, 0, 3):
                put.layers(layer, views[layer])
            with self.assertRaises(OSError) as caught:
                put.commit()
            self.assertEqual(caught.exception.errno, errno.ENODATA)
            self.assertEqual(self.session.exists(self.layout, key)[0], 0)
            put.layers(1, views[1])
            put.commit(7)
        self.assertTrue(self.session.wait(10))
        self.assertEqual([(7, 0)], [(c["user_data"], c["result"]) for c in self.session.reap()])
        with self.session.begin(self.layout, kv.keys(1, 41)) as put:
            put.layers(0, views[0])
        self.assertEqual(self.session.exists(self.layout, kv.keys(1, 41))[0], 0)

    def test_misses_holds_and_removes(self):
        keys, k, v = self.stored(4, 50)
        asked = np.concatenate([keys[:2], kv.keys(1, 51), keys[2:]])
        leading, hits = self.session.exists(self.layout, asked)
        self.assertEqual((leading, hits.tolist()), (2, [True, True, False, True, True]))
        shape = (5, *k.shape[1:])
        batch = self.layout.get_batch(asked, np.zeros(shape, k.dtype), np.zeros(shape, k.dtype),
                                      "blhtc")
        self.assertEqual(self.session.get(self.layout, batch), 4)
        self.assertEqual(batch.results.tolist(), [0, 0, -errno.ENOENT, 0, 0])
        with self.session.holding(self.layout, keys) as held:
            self.assertEqual(held, 4)
            self.session.remove(self.layout, keys[:1], user_data=5)
            self.assertTrue(self.session.wait(10))
            self.assertEqual(self.session.reap()["result"].tolist(), [-errno.EBUSY])
        self.session.remove(self.layout, keys[:1])
        self.assertTrue(self.session.wait(10))
        self.assertEqual(self.session.reap()["result"].tolist(), [0])
        self.assertEqual(self.session.exists(self.layout, keys)[0], 0)

    def test_another_session_adopts_a_hold(self):
        keys, _, _ = self.stored(2, 55)
        _, _, hold = self.session.hold(self.layout, keys, ttl=30)
        with speckv.Session(socket=self.daemon.socket) as worker:
            worker.adopt(hold)
            worker.unhold(hold)
        with self.assertRaises(OSError) as caught:
            self.session.adopt(12345678)
        self.assertGreater(caught.exception.errno, 0)

    def test_more_than_the_arena_holds(self):
        with speckv.Session(socket=self.daemon.socket, arena_bytes=256 << 10) as small:
            layout = small.register(kv.layout())
            count = 40  # of 64 KiB: ten times the arena
            k = kv.values(count, kv.LAYERS, kv.HEADS, kv.TOKENS, kv.DIM, seed=60)
            batch = layout.put_batch(kv.keys(count, 60), k, k, "blhtc")
            self.assertEqual(small.store(layout, batch), count)
            self.assertFalse(batch.results.any())

    def test_threads_read_one_batch(self):
        keys, k, v = self.stored(16, 70)
        k2, v2 = np.zeros_like(k), np.zeros_like(v)
        with speckv.parallel.Reader(self.session, 3) as reader:
            batch = self.layout.get_batch(keys, k2, v2, "blhtc")
            self.assertEqual(reader.get(self.layout, batch), 16)
            self.assertEqual(reader.get(self.layout, self.layout.get_batch(
                keys[:0], k2[:0], v2[:0], "blhtc")), 0)
        np.testing.assert_array_equal(k, k2)
        np.testing.assert_array_equal(v, v2)

    def test_a_waiting_call_lets_other_threads_run(self):
        ran = threading.Event()
        key = kv.keys(1, 75)
        k = kv.values(1, kv.LAYERS, kv.HEADS, kv.TOKENS, kv.DIM)

        def later():
            ran.set()
            self.session.put(self.layout, self.layout.put_batch(key, k, k, "blhtc"))

        other = threading.Timer(0.05, later)
        other.start()
        while not self.session.wait(10):
            pass  # nothing was under way yet
        other.join()
        self.assertTrue(ran.is_set())

    def test_fork(self):
        keys, _, _ = self.stored(1, 80)
        child = os.fork()
        if child == 0:
            try:
                try:
                    self.session.exists(self.layout, keys)
                    os._exit(1)
                except OSError as error:
                    if error.errno != errno.ECHILD:
                        os._exit(2)
                with speckv.Session(socket=self.daemon.socket) as own:
                    hit = own.exists(own.register(kv.layout()), keys)[0]
                os._exit(0 if hit == 1 else 3)
            finally:
                os._exit(4)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        self.assertEqual(self.session.exists(self.layout, keys)[0], 1)

    def test_errors_say_what_and_what_to_do(self):
        with self.assertRaises(FileNotFoundError):
            speckv.Session(socket=self.daemon.folder + "/nobody")
        with self.assertRaises(PermissionError):
            speckv.Session(socket=self.daemon.socket, namespace="not-there")
        with self.assertRaisesRegex(ValueError, "not registered"):
            self.session.exists(kv.layout(), kv.keys(1, 90))
        with self.assertRaisesRegex(ValueError, "page_tokens|block_tokens"):
            kv.layout(page_tokens=17)
        with self.assertRaisesRegex(ValueError, "near-lossless"):
            kv.layout(preset="best")
        good = kv.values(1, kv.LAYERS, kv.HEADS, kv.TOKENS, kv.DIM)
        key = kv.keys(1, 91)
        with self.assertRaisesRegex(ValueError, "along axis 't'"):
            self.layout.put_batch(key, good[:, :, :, :16], good, "blhtc")
        with self.assertRaisesRegex(ValueError, "items of 4 bytes"):
            self.layout.put_batch(key, good.astype(np.float32), good, "blhtc")
        with self.assertRaisesRegex(ValueError, "may be written"):
            locked = good.copy()
            locked.flags.writeable = False
            self.layout.get_batch(key, locked, good, "blhtc")
        with self.assertRaisesRegex(ValueError, "expected items of"):
            self.session._core.get(self.layout.number, np.zeros(55, np.uint8))
        self.session.close()
        with self.assertRaises(OSError) as caught:
            self.session.exists(self.layout, key)
        self.assertEqual(caught.exception.errno, errno.ESHUTDOWN)

    def test_stats_count(self):
        keys, k, v = self.stored(1, 95)
        before = self.session.stats()
        batch = self.layout.get_batch(keys, k.copy(), v.copy(), "blhtc")
        self.session.get(self.layout, batch)
        after = self.session.stats()
        self.assertEqual(after["hits"], before["hits"] + 1)
        self.assertEqual(after["bytes_read"], before["bytes_read"] + self.layout.block_bytes)


class KilledDaemonTest(unittest.TestCase):
    def test_a_killed_daemon_is_an_error_and_its_blocks_come_back(self):
        server = daemon.Daemon()
        self.addCleanup(server.close)
        with speckv.Session(socket=server.socket) as session:
            layout = session.register(kv.layout())
            k = kv.values(8, kv.LAYERS, kv.HEADS, kv.TOKENS, kv.DIM)
            batch = layout.put_batch(kv.keys(8, 1), k, k, "blhtc")
            self.assertEqual(session.store(layout, batch), 8)
            server.kill()
            more = layout.put_batch(kv.keys(8, 2), k, k, "blhtc")
            try:
                self.assertEqual(session.store(layout, more, timeout=2), 0)
            except OSError as error:
                self.assertIn(error.errno, (errno.ENOTCONN, errno.ETIMEDOUT, errno.ECONNRESET))
            self.assertTrue((more.results < 0).all())
            k2 = np.zeros_like(k)
            reading = layout.get_batch(kv.keys(8, 1), k2, k2.copy(), "blhtc")
            self.assertEqual(session.get(layout, reading), 8)  # still mapped
            np.testing.assert_array_equal(k, k2)
            server.start()
            stored = 0
            for _ in range(100):  # the library connects again by itself, every 100 ms at most
                time.sleep(0.05)
                try:
                    stored = session.store(layout, more, timeout=2)
                except OSError:
                    continue
                if stored == 8:
                    break
            self.assertEqual(stored, 8)
            self.assertEqual(session.exists(layout, kv.keys(8, 1))[0], 8)


if __name__ == "__main__":
    unittest.main()
