# SPDX-License-Identifier: Apache-2.0
"""speckv.events as a process, by its bytes: a subscriber that decodes msgpack and knows nothing of
ours sees exactly the blocks that the pool holds: stores, removals, evictions, batches that it lost
and had replayed, a replay that is kept no more, a daemon and a publisher that were killed."""

import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

import msgspec
import numpy as np
import zmq

import daemon
import kv
import speckv
from prompts import prompt
from speckv import events

END = b"\xff" * 8


class Subscriber:
    """A router, as strict as one: events by the fields that vLLM's have."""

    def __init__(self, endpoint, replay):
        context = zmq.Context.instance()
        self._events = context.socket(zmq.SUB)
        self._events.subscribe(b"kv@")
        self._events.connect(endpoint)
        self._replay = context.socket(zmq.DEALER)
        self._replay.connect(replay)
        self.next = None  # not known before the first batch
        self.lost = True  # until all is said anew
        self.blocks = {}  # hash -> (parent, tokens)

    def close(self):
        self._events.close(linger=0)
        self._replay.close(linger=0)

    def take(self, wait=0.3, drop=lambda number: False):
        """Applies what comes until nothing did for `wait` seconds; what was dropped is replayed."""
        while self._events.poll(wait * 1000):
            topic, number, batch = self._events.recv_multipart()
            assert topic == b"kv@here@model"
            number = int.from_bytes(number, "big")
            if drop(number):
                continue
            if self.next is None:
                self.next = number
            if number > self.next:
                self.ask()
            if number == self.next:
                self._apply(batch)

    def ask(self):
        self._replay.send_multipart([b"", self.next.to_bytes(8, "big")])
        while self._replay.poll(10_000):
            empty, topic, number, batch = self._replay.recv_multipart()
            assert empty == b""
            if number == END:
                assert (topic, batch) == (b"", b"")
                return
            assert topic == b"kv@here@model"
            number = int.from_bytes(number, "big")
            if number > self.next:  # more was missed than is kept
                self.next, self.lost = number, True
            if number == self.next:
                self._apply(batch)
        raise AssertionError("no end of a replay")

    def _apply(self, batch):
        self.next += 1
        stamp, all_of_it, rank = msgspec.msgpack.decode(batch)
        assert abs(stamp - time.time()) < 600 and rank == 3
        for event in all_of_it:
            kind = event.pop("type")
            if kind == "AllBlocksCleared":
                assert not event
                self.lost = False
                self.blocks.clear()
            elif self.lost:
                continue
            elif kind == "BlockRemoved":
                assert set(event) == {"block_hashes", "medium"} and event["medium"] == "CPU"
                for name in event["block_hashes"]:
                    del self.blocks[name]
            else:
                self._store(kind, event)

    def _store(self, kind, event):
        assert kind == "BlockStored" and event["medium"] == "CPU" and event["lora_id"] is None
        size, parent = event["block_size"], event["parent_block_hash"]
        assert size == kv.TOKENS and len(event["token_ids"]) == size * len(event["block_hashes"])
        for i, name in enumerate(event["block_hashes"]):
            assert parent is None or parent in self.blocks, "a block without its parent"
            self.blocks[name] = (parent, event["token_ids"][i * size : (i + 1) * size])
            parent = name


class EventsTest(unittest.TestCase):
    def setUp(self):
        self.daemon = daemon.Daemon(pool="16MiB")
        self.addCleanup(self.daemon.close)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.address = {name: f"ipc://{folder.name}/{name}"
                        for name in ("events", "replay", "tell")}
        self.publisher = None
        self.start_publisher()
        self.addCleanup(lambda: self.end_publisher())  # of that time
        self.teller = events.Teller(self.address["tell"])
        self.addCleanup(self.teller.close)
        self.router = Subscriber(self.address["events"], self.address["replay"])
        self.addCleanup(self.router.close)
        self.session = speckv.Session(socket=self.daemon.socket)
        self.addCleanup(self.session.close)
        self.layout = self.session.register(kv.layout())
        self.prompts = [prompt(seed, 12) for seed in range(40)]
        self.k = kv.values(12, kv.LAYERS, kv.HEADS, kv.TOKENS, kv.DIM)
        self.rng = np.random.default_rng(11)

    def start_publisher(self, *more):
        self.publisher = subprocess.Popen(
            [sys.executable, "-m", "speckv.events", "--socket", self.daemon.socket,
             "--endpoint", self.address["events"], "--replay", self.address["replay"],
             "--tell", self.address["tell"], "--told", str(self.folder / "told"),
             "--topic", "kv@here@model", "--rank", "3", "--interval", "0.005", *more],
            stderr=subprocess.PIPE, text=True)
        line = self.publisher.stderr.readline()
        self.assertIn("publishing at", line)

    def end_publisher(self):
        self.publisher.kill()
        self.publisher.wait()
        self.publisher.stderr.close()

    def store(self, prompt_number, first=0):
        keys, blocks = self.prompts[prompt_number]
        self.teller.tell(blocks)
        batch = self.layout.put_batch(keys[first:], self.k[first:], self.k[first:], "blhtc")
        self.assertEqual(self.session.store(self.layout, batch), len(batch))

    def remove_some(self):
        keys, _ = self.prompts[self.rng.integers(len(self.prompts))]
        sent = self.session.remove(self.layout, keys[self.rng.integers(12) :][:2])
        while sent:
            self.session.wait(10)
            sent -= len(self.session.reap())

    def compare(self):
        """What the router knows against what the pool has, from the start of each sequence on."""
        expected = {}
        for keys, blocks in self.prompts:
            leading, _ = self.session.exists(self.layout, keys)
            expected.update((block.hash, (block.parent, block.tokens))
                            for block in blocks[:leading])
        self.assertEqual(self.router.blocks.keys(), expected.keys())
        self.assertEqual(self.router.blocks, expected)
        return len(expected)

    def test_a_router_knows_what_the_pool_holds(self):
        for step in range(120):
            self.store(int(self.rng.integers(len(self.prompts))), int(self.rng.integers(12)) // 4)
            if step % 3 == 0:
                self.remove_some()
        self.router.take()
        self.assertGreater(self.compare(), 20)

    def test_lost_batches_are_had_again(self):
        self.store(0)
        self.router.take()
        before = self.router.next
        self.assertFalse(self.router.lost)
        for step in range(40):
            self.store(int(self.rng.integers(len(self.prompts))))
            time.sleep(0.01)
            if step % 3 == 0:
                self.remove_some()
        self.router.take(drop=lambda number: number % 5 != 4 or before <= number < before + 3)
        self.router.ask()
        self.assertGreater(self.compare(), 20)

    def test_what_is_kept_no_more_is_said_anew(self):
        self.end_publisher()
        self.start_publisher("--kept-batches", "2")
        self.store(0)
        self.router.take()
        before = self.router.next
        for number in range(1, 8):
            self.store(number)
            time.sleep(0.1)
        self.router.next = before
        self.router.ask()
        self.assertTrue(self.router.lost)
        self.wait_for(lambda: not self.router.lost)
        self.assertGreater(self.compare(), 20)

    def test_a_new_daemon_and_a_new_publisher(self):
        for number in range(12):
            self.store(number)
        self.router.take()
        had = self.compare()
        self.daemon.kill()
        self.daemon.start()
        self.wait_for(lambda: self.session.stats()["reconnects"] == 1
                      or self.session.exists(self.layout, kv.keys(1, 1)) and False)
        self.store(20)
        self.router.take(1.0)
        self.assertGreater(self.compare(), had // 2)
        self.end_publisher()
        self.store(21)
        with open(self.folder / "told", "ab") as told:
            told.write(b"\x09\x00\x00\x00cut")  # it was killed in the middle of a write
        before = self.router.next
        self.start_publisher()
        self.wait_for(lambda: self.router.next > before)
        self.router.take()
        self.assertGreater(self.compare(), had // 2)

    def test_what_nobody_may_tell_changes_nothing(self):
        push = zmq.Context.instance().socket(zmq.PUSH)
        push.connect(self.address["tell"])
        for message in (b"", b"\xc1", b"\x91\x01", msgspec.msgpack.encode([[1, None, [], [b"x"]]]),
                        msgspec.msgpack.encode([[1, None, ["a"], [b"x" * 32]]]),
                        msgspec.msgpack.encode([[1, None, [1 << 31], [b"x" * 32]]]),
                        msgspec.msgpack.encode([[1, None, [1], [b"x" * 31]]])):
            push.send(message)
        push.close(linger=1000)
        self.store(1)
        self.router.take()
        self.compare()
        self.assertIsNone(self.publisher.poll())

    def wait_for(self, what, seconds=20):
        deadline = time.monotonic() + seconds
        while not what():
            self.assertLess(time.monotonic(), deadline)
            self.router.take(0.1)


if __name__ == "__main__":
    unittest.main()
