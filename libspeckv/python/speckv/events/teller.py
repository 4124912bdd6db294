# SPDX-License-Identifier: Apache-2.0
"""Teller: tells a publisher in another process what the engine calls blocks. Never waits: while
nobody takes them, messages are kept up to a bound, and past it dropped and counted."""

import msgspec
import zmq

WAITING_MAX = 10_000  # messages


class Teller:
    """endpoint: the publisher's --tell. One thread."""

    def __init__(self, endpoint):
        self._socket = zmq.Context.instance().socket(zmq.PUSH)
        self._socket.set_hwm(WAITING_MAX)
        self._socket.connect(endpoint)
        self._encode = msgspec.msgpack.Encoder().encode
        self.dropped = 0  # blocks

    def tell(self, blocks):
        """blocks: a list of Block. Returns False when they were dropped."""
        try:
            self._socket.send(self._encode([list(block) for block in blocks]), zmq.NOBLOCK)
            return True
        except zmq.Again:
            self.dropped += len(blocks)
            return False

    def close(self):
        self._socket.close(linger=1000)
