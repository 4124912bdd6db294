# SPDX-License-Identifier: Apache-2.0
"""SpeckvClient against a real daemon: what LMCache's native connector adapter asks of it."""

import ctypes
import errno
import hashlib
import os
import select
import threading
import time
import unittest

import daemon
import numpy as np

import speckv
import speckv_lmcache
from speckv import objects

WAIT_S = 60  # only a hang lasts that long


def as_lmcache(array):
    """A memoryview like LMCache's: ctypes, format <B, no slice assignment in Python."""
    flat = array.reshape(-1).view(np.uint8)
    kind = ctypes.c_ubyte * flat.size
    view = memoryview(kind.from_buffer(flat))  # keeps the array
    assert view.format == "<B"
    return view


def noise(size, seed):
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def names(count, salt="", model="org/model"):
    return [f"{model}@000000ff@0@{i:032x}" + (f"@{salt}" if salt else "") for i in range(count)]


class Caller:
    """LMCache's side: submits, sleeps on the descriptor, drains."""

    def __init__(self, **parameters):
        self.client = speckv_lmcache.SpeckvClient(**parameters)
        self.answers = {}

    def answer(self, number):
        poller = select.poll()
        poller.register(self.client.event_fd(), select.POLLIN)
        until = time.monotonic() + WAIT_S
        while number not in self.answers:
            if time.monotonic() > until:
                raise TimeoutError(f"batch {number} was never answered")
            poller.poll(100)
            for each, *rest in self.client.drain_completions():
                self.answers[each] = rest
        return self.answers.pop(number)

    def set(self, keys, arrays):
        return self.answer(self.client.submit_batch_set(keys, [as_lmcache(a) for a in arrays]))

    def get(self, keys, arrays):
        return self.answer(self.client.submit_batch_get(keys, [as_lmcache(a) for a in arrays]))

    def exists(self, keys):
        return self.answer(self.client.submit_batch_exists(keys))[2]

    def delete(self, keys):
        return self.answer(self.client.submit_batch_delete(keys))[2]


class LmcacheClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = daemon.Daemon(pool="256MiB")
        cls.addClassCleanup(cls.daemon.close)

    def caller(self, **parameters):
        caller = Caller(socket=self.daemon.socket, **parameters)
        self.addCleanup(caller.client.close)
        return caller

    def test_a_batch_of_many_sizes_comes_back(self):
        caller = self.caller()
        sizes = [1, 15, 400, 1024, 4079, 4080, 4081, 12288, 65535, 100_003, 1 << 20, 3_000_000]
        keys = names(len(sizes), model="sizes")
        stored = [noise(size, i) for i, size in enumerate(sizes)]
        self.assertEqual(caller.set(keys, stored), [True, "", [True] * len(keys)])
        self.assertEqual(caller.exists(keys), [True] * len(keys))
        loaded = [np.zeros_like(each) for each in stored]
        self.assertEqual(caller.get(keys, loaded), [True, "", [True] * len(keys)])
        for a, b in zip(stored, loaded):
            np.testing.assert_array_equal(a, b)

    def test_nothing_is_written_past_a_buffers_end(self):
        caller = self.caller()
        wide = np.full(8192, 7, np.uint8)
        caller.set(["edge"], [noise(5000, 1)])
        self.assertEqual(caller.get(["edge"], [wide[1000:6000]])[2], [True])
        self.assertTrue((wide[:1000] == 7).all() and (wide[6000:] == 7).all())

    def test_a_miss_is_an_answer_and_its_neighbours_are_read(self):
        caller = self.caller()
        keys = names(5, model="partly")
        caller.set(keys[:2] + keys[3:], [noise(9000, i) for i in (0, 1, 3, 4)])
        loaded = [np.zeros(9000, np.uint8) for _ in keys]
        self.assertEqual(caller.get(keys, loaded)[2], [True, True, False, True, True])
        np.testing.assert_array_equal(loaded[4], noise(9000, 4))
        self.assertEqual(caller.exists(keys), [True, True, False, True, True])

    def test_an_object_of_another_length_is_a_miss(self):
        caller = self.caller()
        caller.set(["length"], [noise(9000, 1)])
        for size in (8999, 9001, 100, 70_000):
            self.assertEqual(caller.get(["length"], [np.zeros(size, np.uint8)])[2], [False])

    def test_salts_keep_users_apart(self):
        caller = self.caller()
        plain, alice, bob = names(1), names(1, "alice"), names(1, "bob")
        caller.set(plain, [noise(5000, 1)])
        caller.set(alice, [noise(5000, 2)])
        self.assertEqual(caller.exists(plain + alice + bob), [True, True, False])
        loaded = [np.zeros(5000, np.uint8) for _ in range(2)]
        caller.get(plain + alice, loaded)
        np.testing.assert_array_equal(loaded[0], noise(5000, 1))
        np.testing.assert_array_equal(loaded[1], noise(5000, 2))
        caller.delete(alice)
        self.assertEqual(caller.exists(plain + alice), [True, False])

    def test_delete_takes_every_length_of_a_name(self):
        caller = self.caller()
        keys = names(6, model="deleted")
        caller.set(keys[:4], [noise(9000, i) for i in range(4)])
        caller.set(keys[:1], [noise(100_000, 9)])
        self.assertEqual(caller.delete(keys[:3] + keys[5:]), [True, True, True, False])
        self.assertEqual(caller.exists(keys), [False, False, False, True, False, False])
        self.assertEqual(caller.delete(keys[:3]), [False] * 3)

    def test_another_server_and_another_start_find_what_is_stored(self):
        keys = names(3, model="shared")
        self.caller().set(keys, [noise(9000, i) for i in range(3)])
        other = self.caller()
        self.assertEqual(other.exists(keys), [True] * 3)
        self.assertEqual(self.caller(variant="fp8").exists(keys), [False] * 3)

    def test_many_batches_at_once_are_matched(self):
        caller = self.caller(threads=3)
        keys = [names(8, model=f"batch{n}") for n in range(16)]
        client = caller.client
        data = [[noise(20_000, 8 * n + i) for i in range(8)] for n in range(16)]
        sets = [client.submit_batch_set(k, [as_lmcache(a) for a in d]) for k, d in zip(keys, data)]
        self.assertEqual(len(set(sets)), 16)
        for number in reversed(sets):
            self.assertEqual(caller.answer(number)[0], True)
        loaded = [[np.zeros(20_000, np.uint8) for _ in range(8)] for _ in range(16)]
        gets = [client.submit_batch_get(k, [as_lmcache(a) for a in d])
                for k, d in zip(keys, loaded)]
        looks = [client.submit_batch_exists(k) for k in keys]
        for number in looks + gets:
            self.assertEqual(caller.answer(number), [True, "", [True] * 8])
        np.testing.assert_array_equal(np.array(data), np.array(loaded))

    def test_more_than_the_arena_holds_in_one_batch(self):
        caller = self.caller(arena_bytes=1 << 20, max_object_bytes=1 << 20)
        keys = names(64, model="arena")
        stored = [noise(100_000, i) for i in range(64)]
        self.assertEqual(caller.set(keys, stored)[0], True)
        self.assertEqual(caller.exists(keys), [True] * 64)

    def test_an_object_that_no_class_takes_is_refused_in_a_sentence(self):
        caller = self.caller(max_object_bytes=65536)
        well, error, good = caller.set(["large", "small"], [noise(90_000, 1), noise(9000, 2)])
        self.assertFalse(well)
        self.assertRegex(error, "an object of 90000 bytes; expected at most 81904")
        self.assertEqual(good, [False, True])
        with self.assertRaisesRegex(ValueError, "max_object_bytes: 0; expected"):
            self.caller(max_object_bytes=0)

    def test_classes_waste_a_fifth_at_most_and_fit_a_session(self):
        sizes = [each.block_bytes for each in objects.size_classes(objects.OBJECT_BYTES_MAX - 16)]
        self.assertLessEqual(len(sizes), 64)
        self.assertEqual(sizes, sorted(sizes))
        for small, large in zip(sizes, sizes[1:]):
            self.assertLessEqual((large - small) / large, 0.2)

    def test_chunks_by_a_layout_are_stored_by_its_preset(self):
        layout = {"dtype": "f16", "layers": 4, "kv_heads": 2, "head_dim": 64, "tokens": 64}
        exact = self.caller(layout=layout)
        chunk = np.random.default_rng(1).standard_normal((2, 4, 64, 128)).astype(np.float16)
        self.assertEqual(exact.set(["chunk"], [chunk])[0], True)
        loaded = np.zeros_like(chunk)
        self.assertEqual(exact.get(["chunk"], [loaded])[2], [True])
        np.testing.assert_array_equal(chunk, loaded)
        lossy = self.caller(layout={**layout, "preset": "q8"}, variant="q8")
        self.assertEqual(lossy.set(["chunk"], [chunk])[0], True)
        self.assertEqual(lossy.get(["chunk"], [loaded])[2], [True])
        self.assertFalse((chunk == loaded).all())
        np.testing.assert_allclose(chunk.astype(float), loaded.astype(float), atol=0.05)
        well, error, _ = exact.set(["other"], [np.zeros(1000, np.uint8)])
        self.assertFalse(well)
        self.assertRegex(error, f"an object of 1000 bytes; expected {chunk.nbytes}")
        with self.assertRaisesRegex(ValueError, "layout: .*heads"):
            self.caller(layout={"dtype": "f16", "layers": 4, "heads": 2})

    def test_where_a_chunks_rows_lie(self):
        """[2, layers, tokens, heads * dim] is what a session reads by its own strides."""
        fields = {"dtype": "f16", "layers": 4, "kv_heads": 2, "head_dim": 64, "block_tokens": 64}
        caller = self.caller(layout=fields)
        chunk = np.random.default_rng(2).standard_normal((2, 4, 64, 2, 64)).astype(np.float16)
        caller.set(["rows"], [chunk])
        with speckv.Session(socket=self.daemon.socket) as session:
            layout = session.register(speckv_lmcache.chunk_layout(fields))
            loaded = np.zeros_like(chunk)
            key = np.frombuffer(hashlib.sha256(b"rows").digest(), np.uint8)
            batch = layout.get_batch(key[None], loaded[0], loaded[1], "lthc")
            self.assertEqual(session.get(layout, batch), 1)
        np.testing.assert_array_equal(chunk, loaded)

    def test_bad_calls_raise_and_close_is_idempotent(self):
        caller = self.caller()
        client = caller.client
        with self.assertRaisesRegex(ValueError, "at least one name"):
            client.submit_batch_exists([])
        with self.assertRaisesRegex(ValueError, "as many buffers"):
            client.submit_batch_get(["a"], [])
        with self.assertRaises(BufferError):
            client.submit_batch_get(["a"], [memoryview(b"read only")])
        client.submit_batch_set(["left behind"], [as_lmcache(noise(9000, 1))])
        client.close()
        client.close()
        for call in (client.drain_completions, client.event_fd,
                     lambda: client.submit_batch_exists(["a"])):
            with self.assertRaises(OSError) as caught:
                call()
            self.assertEqual(caught.exception.errno, errno.ESHUTDOWN)

    def test_fork(self):
        caller = self.caller()
        child = os.fork()
        if child == 0:
            try:
                caller.client.submit_batch_exists(["a"])
                os._exit(1)
            except OSError as error:
                caller.client.close()
                caller.client.close()
                os._exit(0 if error.errno == errno.ECHILD else 2)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        caller.set(["after"], [noise(9000, 1)])
        self.assertEqual(caller.exists(["after"]), [True])

    def test_no_daemon_is_an_error_at_once(self):
        with self.assertRaises(OSError) as caught:
            speckv_lmcache.SpeckvClient(socket=self.daemon.folder + "/nobody")
        self.assertEqual(caught.exception.errno, errno.ENOENT)


class KilledDaemonTest(unittest.TestCase):
    def test_a_daemon_killed_under_load_is_errors_and_misses_and_comes_back(self):
        server = daemon.Daemon()
        self.addCleanup(server.close)
        caller = Caller(socket=server.socket, timeout=10.0)
        self.addCleanup(caller.client.close)
        client = caller.client
        kept = names(4, model="kept")
        self.assertTrue(caller.set(kept, [noise(50_000, i) for i in range(4)])[0])
        killer = threading.Timer(0.05, server.kill)
        killer.start()
        batches = []
        buffers = [as_lmcache(noise(50_000, i)) for i in range(4)]
        room = [as_lmcache(np.zeros(50_000, np.uint8)) for _ in range(4)]
        for n in range(400):
            keys = names(4, model=f"load{n}")
            batches.append(client.submit_batch_set(keys, buffers))
            batches.append(client.submit_batch_get(keys, room))
            batches.append(client.submit_batch_exists(keys))
            batches.append(client.submit_batch_delete(keys))
            if n == 200:
                killer.join()
        answers = [caller.answer(number) for number in batches]  # none hangs
        failed = [error for well, error, _ in answers if not well]
        self.assertTrue(failed)
        self.assertTrue(all("speckv" in error for error in failed), set(failed))
        server.start()
        until = time.monotonic() + WAIT_S  # the library connects again by itself
        while not (again := caller.set(["again"], [noise(50_000, 1)]))[0]:
            self.assertLess(time.monotonic(), until, again)
            time.sleep(0.05)
        self.assertEqual(caller.exists(["again"]), [True])
        self.assertEqual(caller.exists(kept), [True] * 4)


if __name__ == "__main__":
    unittest.main()
