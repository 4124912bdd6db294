# SPDX-License-Identifier: Apache-2.0
"""Publisher: an Announcer's events on ZeroMQ, as vLLM publishes its own.

PUB: three frames, [topic, number (8 bytes, big-endian), batch]. Numbers count up from the
microsecond of the publisher's start, not from 0: a router that has seen a higher number takes a
lower one for an old batch and drops it, so one that was started again would not be heard.

Replay, a ROUTER: who sends [empty, number] gets the kept batches from that number on, each as
[empty, topic, number, batch], then [empty, empty, -1, empty].

Who asks for more than is kept, and who subscribes, is helped by a new statement of all that is
announced, to everybody: AllBlocksCleared, then BlockStored. So it does not matter who was started
first, the router or the publisher.
"""

import collections
import sys
import time

import msgspec
import zmq

from . import wire
from .announcer import Announcer
from .tree import Block

KEPT_BATCHES = 10_000
BATCH_EVENTS = 64
TOLD_AT_ONCE = 1000  # messages taken before the pool is looked at again
RESTATE_EVERY_S = 2.0  # who comes in between waits for the next one
END = (-1).to_bytes(8, "big", signed=True)


class Publisher:
    """endpoint, replay, tell: ZeroMQ addresses to bind; replay and tell may be None. rank: the data
    parallel rank that batches carry. One thread: call step() in a loop, or run()."""

    def __init__(self, session, endpoint, replay=None, tell=None, topic="", rank=0, told=None,
                 known_max=1 << 20, kept_batches=KEPT_BATCHES):
        self.announcer = Announcer(session, told, known_max)
        self._topic, self._rank = topic.encode(), rank
        self._kept = collections.deque(maxlen=kept_batches)
        self._next = self._first = time.time_ns() // 1000
        self._restated = None
        self._restate = False
        context = zmq.Context.instance()
        self._pub = context.socket(zmq.XPUB)  # a PUB that tells of its subscribers
        self._pub.setsockopt(zmq.XPUB_VERBOSE, 1)
        self._pub.set_hwm(100_000)
        self._pub.bind(endpoint)
        self._replay = self._bound(context, zmq.ROUTER, replay)
        self._tell = self._bound(context, zmq.PULL, tell)
        self._poller = zmq.Poller()
        for each in filter(None, (self._pub, self._replay, self._tell)):
            self._poller.register(each, zmq.POLLIN)
        self._decode = msgspec.msgpack.Decoder().decode
        self.refused_messages = 0

    @staticmethod
    def _bound(context, kind, address):
        if not address:
            return None
        made = context.socket(kind)
        made.bind(address)
        return made

    @property
    def published(self):
        """Batches so far."""
        return self._next - self._first

    def step(self, wait=0.02):
        """Takes what was told, publishes what changed, answers replays. Waits up to `wait` seconds
        for somebody to tell or ask."""
        self._poller.poll(wait * 1000)
        self._take_told()
        self._look_for_subscribers()
        self._answer_replays()
        events = self.announcer.poll()
        if self._restate and self._may_restate():
            self._restate, self._restated = False, time.monotonic()
            events = self.announcer.tree.restate()
        self._publish(events)

    def run(self, wait=0.02):
        lost = 0
        while True:
            self.step(wait)
            if self.announcer.lost != lost:
                print(f"speckv.events: {self.announcer.lost - lost} changes were overwritten "
                      "before they were read; looked at all blocks instead", file=sys.stderr)
                lost = self.announcer.lost

    def close(self):
        for each in filter(None, (self._pub, self._replay, self._tell)):
            each.close(linger=0)
        self.announcer.close()

    def _take_told(self):
        for _ in range(TOLD_AT_ONCE if self._tell else 0):
            try:
                message = self._tell.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            blocks = _blocks_of(message, self._decode)
            if blocks is None:
                self.refused_messages += 1
            else:
                self.announcer.tell(blocks)

    def _publish(self, events):
        for at in range(0, len(events), BATCH_EVENTS):
            batch = wire.encode(events[at : at + BATCH_EVENTS], time.time(), self._rank)
            number = self._next.to_bytes(8, "big")
            self._pub.send_multipart((self._topic, number, batch))
            self._kept.append((number, batch))
            self._next += 1

    def _look_for_subscribers(self):
        while self._pub.poll(0):
            self._restate |= self._pub.recv()[:1] == b"\x01"

    def _answer_replays(self):
        while self._replay and self._replay.poll(0):
            frames = self._replay.recv_multipart()
            if len(frames) != 3 or len(frames[2]) != 8:
                self.refused_messages += 1
                continue
            asked, first = frames[2], self._kept[0][0] if self._kept else bytes(8)
            for number, batch in self._kept:
                if number >= asked:
                    self._replay.send_multipart((frames[0], b"", self._topic, number, batch))
            self._replay.send_multipart((frames[0], b"", b"", END, b""))
            self._restate |= asked < first

    def _may_restate(self):
        return self._restated is None or time.monotonic() - self._restated >= RESTATE_EVERY_S


def _blocks_of(message, decode):
    """Blocks of a message that anybody may have sent, or None."""
    try:
        blocks = [Block(*each) for each in decode(message)]
    except (msgspec.DecodeError, TypeError):
        return None
    return blocks if all(map(_can_be, blocks)) else None


def _can_be(block):
    return (isinstance(block.hash, (int, bytes))
            and isinstance(block.parent, (int, bytes, type(None)))
            and isinstance(block.tokens, list) and block.tokens
            and all(isinstance(each, int) and 0 <= each < 1 << 31 for each in block.tokens)
            and isinstance(block.ids, list) and block.ids
            and all(isinstance(each, bytes) and len(each) == 32 for each in block.ids)
            and isinstance(block.lora, (str, type(None))))
