# SPDX-License-Identifier: Apache-2.0
"""tier.py - SpeckvTier: speckv as a secondary tier below vLLM's own CPU tier, for engines that use
its OffloadingConnector with TieringOffloadingSpec.

A chunk is bytes here, with vLLM's hash as its name: stored exactly, in no order that this knows.
Runs in the scheduler's process and never waits there but in drain_jobs(): objects are looked up,
stored and loaded by threads of the package speckv. A look-up's answer comes a step later (RETRY).
"""

import select
import time

import numpy as np

import speckv

from . import model
from .seam import JobResult, LookupResult, Medium, RequestOffloadingContext, SecondaryTierManager

DRAIN_S = 30.0


class SpeckvTier(SecondaryTierManager):
    """Its options stand beside "type" and "module_path" in the tier's configuration, as in
    docs/vllm.md. Raises OSError where no daemon answers."""

    medium = Medium.CPU

    def __init__(self, offloading_spec, primary_kv_view, tier_type, backpressure_detector=None,
                 namespace=None, socket=None, variant="", weights_digest="", threads=2,
                 arena_bytes=64 << 20, timeout=5.0, wait=0.2, daemon_uid=-1):
        super().__init__(offloading_spec, primary_kv_view, tier_type, backpressure_detector)
        self._chunks = np.asarray(primary_kv_view)
        self._objects = speckv.Objects.of_bytes(
            self.block_size_bytes, _digest(offloading_spec.config, variant, weights_digest),
            namespace=namespace, socket=socket, threads=threads,
            arena_bytes=max(arena_bytes, 2 * self.block_size_bytes), timeout=timeout,
            wait=wait, daemon_uid=daemon_uid)
        self._found = {}  # key: whether it is there; None: asked, not answered
        self._keys_of = {}  # by request
        self._asking = []  # not submitted yet
        self._looks = {}  # batch number: keys
        self._jobs = {}  # batch number: (job, keys)
        self._finished = []

    def lookup(self, key, req_context):
        if self._looks:
            self._drain()
        if key not in self._found:
            self._found[key] = None
            self._asking.append(key)
        self._keys_of.setdefault(req_context.req_id, set()).add(key)
        found = self._found[key]
        return (LookupResult.RETRY if found is None
                else LookupResult.HIT if found else LookupResult.MISS)

    def on_schedule_end(self, context):
        if self._asking:
            keys, self._asking = self._asking, []
            self._looks[self._objects.look(_names(keys))] = keys

    def has_pending_work(self):
        return bool(self._asking or self._looks or self._jobs or self._finished)

    def on_new_request(self, req_context):
        return RequestOffloadingContext()

    def on_request_finished(self, req_context):
        for key in self._keys_of.pop(req_context.req_id, ()):
            if self._found.get(key) is not None:  # asked anew by the next one: it may have gone
                del self._found[key]

    def submit_store(self, job_metadata):
        self._submit(self._objects.put, job_metadata)

    def submit_load(self, job_metadata):
        self._submit(self._objects.get, job_metadata)

    def get_finished_jobs(self):
        self._drain()
        finished, self._finished = self._finished, []
        return finished

    def drain_jobs(self):
        until = time.monotonic() + DRAIN_S  # longer than the objects' own timeout
        while self._jobs and time.monotonic() < until:
            select.select([self._objects.event_fd()], [], [], 0.1)
            self._drain()

    def shutdown(self):
        self._objects.close()

    def _submit(self, call, job):
        keys = list(job.keys)
        number = call(_names(keys), [self._chunks[chunk] for chunk in job.chunk_ids])
        self._jobs[number] = (job, keys)

    def _drain(self):
        for number, _, _, good in self._objects.drain():
            if number in self._looks:
                self._found.update(zip(self._looks.pop(number), good))
            else:
                self._end(*self._jobs.pop(number), good)

    def _end(self, job, keys, good):
        well = [key for key, stored in zip(keys, good) if stored]
        if job.is_promotion:  # what could not be loaded is not promised again
            self._found.update(zip(keys, good))
        else:
            self._found.update(dict.fromkeys(well, True))
        self._finished.append(JobResult(
            job_id=job.job_id, success=len(well) == len(keys),
            successful_keys=well if job.is_promotion else None,
            transfer_time=time.monotonic() - job.submit_time,
            transfer_bytes=len(well) * self.block_size_bytes))


def _names(keys):
    return [bytes(key).hex() for key in keys]


def _digest(config, variant, weights):
    """What a chunk's bytes depend on and its name does not say."""
    digest = weights or speckv.model_digest(config.model.name).hex()
    facts = [digest, config.model.dtype, config.kv_cache_layout, config.worker_kv_bytes_per_block,
             config.cache.blocks_per_chunk, config.cache.tokens_per_hash,
             [group.tokens_per_block for group in config.groups], config.parallel.world_size,
             config.parallel.tp_size, config.parallel.pp_size, config.replicated_layout,
             config.canonical_layout, variant]
    return speckv.variant_digest(f"vllm tier {model.seam.VERSION}", repr(facts))
