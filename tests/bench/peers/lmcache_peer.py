# SPDX-License-Identifier: Apache-2.0
"""lmcache_peer.py - LMCache's DaxL2Adapter on a file of the same tmpfs, an object a slot. Its index
is in the caller's process, so two clients have two files. The look-up and lock that LMCache's own
controller does before a load is not in the times."""

import select

import rig
import torch
from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.distributed.l2_adapters.dax_l2_adapter import (
    DaxDeviceConfig,
    DaxL2Adapter,
    DaxL2AdapterConfig,
)
from lmcache.v1.memory_management import MemoryFormat, MemoryObjMetadata, TensorMemoryObj
from lmcache.v1.platform import consume_fd

WAIT_MS = 60_000


class Contender(rig.Contender):
    shared = False

    def __init__(self, objects, where):
        super().__init__(objects, where)
        path = objects.paths[0].parent / f"lmcache-{id(self)}"
        total = objects.size * objects.count
        with open(path, "wb") as file:
            file.truncate(total)
        self._path = path
        device = DaxDeviceConfig(device_path=str(path), max_dax_size_gb=total / (1 << 30))
        self._adapter = DaxL2Adapter(DaxL2AdapterConfig(
            devices=[device], slot_bytes=objects.size, num_store_workers=1, num_lookup_workers=1,
            num_load_workers=4))
        self._keys = [ObjectKey(chunk_hash=ObjectKey.IntHash2Bytes(number), model_name="m",
                                kv_rank=0, cache_salt="") for number in range(objects.count)]
        # as a mapping that may be written, which torch wants; nothing writes it
        self._from, self._to = (self._memory(array) for array in (self.source, self.places))

    def _memory(self, array):
        size = self.objects.size
        made = []
        for row in array:
            tensor = torch.from_numpy(row if row.flags.writeable else row.view())
            shape = torch.Size([size])
            made.append(TensorMemoryObj(tensor, MemoryObjMetadata(
                shape, torch.uint8, tensor.data_ptr(), size, 1, fmt=MemoryFormat.KV_2LTD,
                shapes=[shape], dtypes=[torch.uint8]), None))
        return made

    def put_batch(self, numbers):
        task = self._adapter.submit_store_task([self._keys[i] for i in numbers],
                                               [self._from[i] for i in numbers])
        _wait(self._adapter.get_store_event_fd())
        if not self._adapter.pop_completed_store_tasks()[task].is_successful():
            raise RuntimeError("a store failed")

    def get_batch(self, numbers, places):
        task = self._adapter.submit_load_task([self._keys[i] for i in numbers],
                                              [self._to[i] for i in places])
        _wait(self._adapter.get_load_event_fd())
        found = self._adapter.query_load_result(task)
        if not all(found.test(i) for i in range(len(numbers))):
            raise RuntimeError("a load failed")

    def forget(self, numbers):
        self._adapter.delete([self._keys[i] for i in numbers])

    def held_bytes(self):
        return self._path.stat().st_blocks * 512

    def close(self):
        self._adapter.close()
        self._path.unlink()


def _wait(descriptor):
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    if not poller.poll(WAIT_MS):
        raise RuntimeError("no answer")
    consume_fd(descriptor)


Server = rig.Server
