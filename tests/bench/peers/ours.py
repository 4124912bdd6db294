# SPDX-License-Identifier: Apache-2.0
"""ours.py - speckv by its Python package: a daemon a preset, a session a client. Batches are made
once a place and once an object, as an engine does that has them registered; a call sets the key."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import rig

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/python"))

import daemon

import speckv

UNIT_BYTES = 2 << 20  # a slab of the pool
ARENA_BATCH = 32  # objects of a batch, at most, that lie in the arena at a time


def _layout(objects, preset):
    layers, heads, tokens, page = rig.SHAPES[objects.size]
    return speckv.Layout(dtype="f16", layers=layers, kv_heads=heads, head_dim=rig.CHANNELS,
                         block_tokens=tokens, page_tokens=page, rope="half", rope_theta=500000.0,
                         preset=preset, weights_digest=bytes([7]) * 32)


class Server(rig.Server):
    preset = "exact"

    def __init__(self, folder, objects):
        # room for all of it raw and a slab for every slot size
        pool = objects.size * objects.count * 5 // 4 + (64 << 20)
        self._daemon = daemon.Daemon(pool=f"{pool >> 20}MiB", preset=self.preset)
        self.pids = (self._daemon.process.pid,)
        self.where = self._daemon.socket

    def held_bytes(self):
        said = subprocess.run([ROOT / "build/release/bin/speckvctl", "--socket", self.where,
                               "--json", "status"], stdout=subprocess.PIPE, check=True)
        space = json.loads(said.stdout)["namespaces"][0]
        return (space["units"] - space["free_units"]) * UNIT_BYTES + space["index_bytes"]

    def close(self):
        self._daemon.close()


class Contender(rig.Contender):
    preset = "exact"

    def __init__(self, objects, where):
        super().__init__(objects, where)
        self._session = speckv.Session(socket=where, timeout=60,
                                       arena_bytes=ARENA_BATCH * objects.size * 5 // 4 + (8 << 20))
        layout = self._layout = self._session.register(_layout(objects, self.preset))
        self._keys = speckv.key_chain(np.arange(objects.count * layout.block_tokens),
                                      layout.block_tokens)
        layers, heads, tokens, _ = rig.SHAPES[objects.size]
        shape = (objects.count, layers, 2, tokens, heads, rig.CHANNELS)
        source, places = (each.view(np.float16).reshape(shape)
                          for each in (self.source, self.places))
        self._puts = layout.put_batch(self._keys, source[:, :, 0], source[:, :, 1], "blthc",
                                      position=0)
        self._gets = layout.get_batch(self._keys, places[:, :, 0], places[:, :, 1], "blthc")

    def put_batch(self, numbers):
        batch = self._puts.some(numbers)
        if self._session.store(self._layout, batch, timeout=60) != len(numbers):
            raise RuntimeError(f"results {set(batch.results.tolist())}")

    def get_batch(self, numbers, places):
        ops = self._gets.ops[places]
        ops["key"] = self._keys[numbers]
        if self._session._core.get(self._layout.number, ops) != len(numbers):
            raise RuntimeError(f"results {set(ops['ret_result'].tolist())}")

    def forget(self, numbers):
        left = self._session.remove(self._layout, self._keys[numbers])
        while left:
            self._session.wait(10)
            left -= len(self._session.reap())

    def close(self):
        self._session.close()


class NearServer(Server):
    preset = "near-lossless"


class NearContender(Contender):
    preset, loses = "near-lossless", True


class CompactServer(Server):
    preset = "compact"


class CompactContender(Contender):
    preset, loses = "compact", True
