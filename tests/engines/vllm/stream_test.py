# SPDX-License-Identifier: Apache-2.0
"""What routers hear of an engine with SpeckvConnector, on vLLM's own stream of KV events: each
block that the pool has, under the hash and token ids by which vLLM announces it in its own memory.
"""

import time
import unittest

import engines
import msgspec
import zmq
from engines import Engine, prompts
from vllm.config import KVEventsConfig
from vllm.distributed.kv_events import BlockStored, KVEventBatch

import daemon

HEARD_S = 120
PROMPTS = prompts(2, seed=51)


class EventsTest(unittest.TestCase):
    def setUp(self):
        self.stored = {"CPU": {}, "GPU": {}}  # token ids and parent by hash, by medium
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        self.addCleanup(self.socket.close, 0)
        self.socket.subscribe(b"")
        self.decode = msgspec.msgpack.Decoder(KVEventBatch).decode

    def hear(self):
        while self.socket.poll(200):
            for event in self.decode(self.socket.recv_multipart()[2]).events:
                if isinstance(event, BlockStored):
                    self.take(event)

    def take(self, event):
        size, parent = event.block_size, event.parent_block_hash
        for i, name in enumerate(event.block_hashes):
            tokens = event.token_ids[i * size : (i + 1) * size]
            self.stored[event.medium][name] = (parent, tokens)
            parent = name

    def test_blocks_in_the_pool_have_the_names_that_vllm_gives_them(self):
        server = daemon.Daemon(pool="256MiB")
        self.addCleanup(server.close)
        endpoint = f"ipc://{server.folder}/events"
        self.socket.connect(endpoint)
        engine = Engine("events", server, kv_events_config=KVEventsConfig(
            enable_kv_cache_events=True, publisher="zmq", endpoint=endpoint))
        self.addCleanup(engine.close)
        engine.generate(PROMPTS)
        until = time.monotonic() + HEARD_S
        while len(self.stored["CPU"]) < 8 and time.monotonic() < until:
            engine.generate([PROMPTS[0][: engines.BLOCK // 2]], max_tokens=1)  # a step: it looks
            self.hear()
        whole = [prompt[at : at + engines.BLOCK] for prompt in PROMPTS
                 for at in range(0, 4 * engines.BLOCK, engines.BLOCK)]
        self.assertEqual(sorted(tokens for _, tokens in self.stored["CPU"].values()),
                         sorted(whole))
        for name, told in self.stored["CPU"].items():
            self.assertEqual(self.stored["GPU"][name], told)
