# SPDX-License-Identifier: Apache-2.0
"""altered.py - connectors that do wrong on purpose, for tests that must be able to fail."""

import dataclasses

import speckv_vllm
import speckv_vllm.connector
import speckv_vllm.worker


class ZeroingWorker(speckv_vllm.worker.WorkerSide):
    """What was loaded is zeros when the computing reads it."""

    def wait_layer(self, layer):
        super().wait_layer(layer)
        if self._plan and self._plan.loads is not None:
            for side in (0, 1):
                self._paged._sources[side * self.layout.layers + layer][self._plan.loads.pages] = 0


class FailingWorker(speckv_vllm.worker.WorkerSide):
    """The first loads fail: their first block comes as noise and counts as not loaded."""

    left = 2

    def _load(self, batch):
        if self.left:
            FailingWorker.left -= 1
            self._bad[0] = True
            page = self._plan.loads.pages[0]
            super()._load(batch)
            for array in self._paged._sources:
                array[page] = 0x4000  # 2.0, in bf16
        else:
            super()._load(batch)


class _Altered(speckv_vllm.SpeckvConnector):
    worker = None

    def register_kv_caches(self, kv_caches):
        plain = speckv_vllm.connector.WorkerSide
        speckv_vllm.connector.WorkerSide = self.worker
        try:
            super().register_kv_caches(kv_caches)
        finally:
            speckv_vllm.connector.WorkerSide = plain


class ZeroingConnector(_Altered):
    worker = ZeroingWorker


class FailingConnector(_Altered):
    worker = FailingWorker


class DisagreeingConnector(speckv_vllm.SpeckvConnector):
    """The second rank says that it holds other weights."""

    def get_handshake_metadata(self):
        handshake = super().get_handshake_metadata()
        if handshake.layout.rank == 1:
            handshake.layout = dataclasses.replace(handshake.layout, weights_digest=bytes([9]) * 32)
        return handshake
