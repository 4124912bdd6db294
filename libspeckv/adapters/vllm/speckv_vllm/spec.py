# SPDX-License-Identifier: Apache-2.0
"""spec.py - SpeckvSpec: vLLM's TieringOffloadingSpec for a CPU, where vLLM's own refuses: its
worker copies pages with a thread instead of a GPU. With SpeckvTier below, unless other secondary
tiers are configured.
"""

import concurrent.futures
import time

import torch

from .seam import OffloadingWorker, SharedOffloadRegion, TieringOffloadingSpec, TransferResult


class SpeckvSpec(TieringOffloadingSpec):
    def __init__(self, config):
        super().__init__(config)
        if not self.secondary_tier_configs:
            self.secondary_tier_configs = [{"type": "SpeckvTier", "module_path": "speckv_vllm"}]
        if self.replicated_layout or config.canonical_layout:
            raise ValueError("SpeckvSpec: replicated or canonical layouts; expected the plain one "
                             "(no MLA, no canonical_layout)")

    def get_worker(self, kv_caches):
        if not self._worker:
            self._worker = self.create_worker(kv_caches)
        return self._worker

    def create_worker(self, kv_caches):
        region = SharedOffloadRegion(
            engine_id=self.config.engine_id, num_chunks=self.num_chunks,
            rank=self.config.parallel.rank, kv_bytes_per_chunk=self.kv_bytes_per_chunk,
            cpu_page_size=self.cpu_page_size_per_worker)
        return CopyingWorker(kv_caches, self.blocks_per_chunk, region)


class CopyingWorker(OffloadingWorker):
    """Copies between the KV cache's pages and vLLM's shared region of chunks, one job at a time, on
    a thread of its own. Copies do not hold the GIL."""

    def __init__(self, kv_caches, blocks_per_chunk, region):
        if len(kv_caches.group_data_refs) != 1:
            raise ValueError(f"{len(kv_caches.group_data_refs)} KV cache groups; expected 1")
        self._blocks_per_chunk, self._region = blocks_per_chunk, region
        self._pairs = []  # (pages of a tensor, the same by chunk and block in it)
        for each in kv_caches.tensors:
            pages = each.tensor.view(torch.int8).view(-1, each.page_size_bytes)
            chunks = region.create_next_worker_view(each.page_size_bytes * blocks_per_chunk)
            self._pairs.append((pages, chunks.unflatten(1, (blocks_per_chunk, -1))))
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "speckv-copy")
        self._jobs = {}

    def submit_store(self, job_id, src_spec, dst_spec):
        return self._submit(job_id, src_spec, dst_spec, True)

    def submit_load(self, job_id, src_spec, dst_spec):
        return self._submit(job_id, dst_spec, src_spec, False)

    def get_finished(self):
        done = [(number, job) for number, job in self._jobs.items() if job.done()]
        for number, _ in done:
            del self._jobs[number]
        return [job.result() for _, job in done]

    def wait(self, job_ids):
        concurrent.futures.wait([self._jobs[number] for number in job_ids if number in self._jobs])

    def shutdown(self):
        self._thread.shutdown()
        self._pairs.clear()
        self._region.cleanup()

    def _submit(self, number, in_cache, in_chunks, out):
        self._jobs[number] = self._thread.submit(self._copy, number, in_cache, in_chunks, out)
        return True

    def _copy(self, number, in_cache, in_chunks, out):
        begun = time.monotonic()
        pages = torch.from_numpy(in_cache.block_ids).long()
        # the first page may lie in the middle of its chunk
        place = in_cache.block_indices[0] % self._blocks_per_chunk + torch.arange(len(pages))
        chunks = torch.from_numpy(in_chunks.block_ids).long()[place // self._blocks_per_chunk]
        within = place % self._blocks_per_chunk
        for cache, region in self._pairs:
            if out:
                region[chunks, within] = cache[pages]
            else:
                cache[pages] = region[chunks, within]
        return TransferResult(number, True, len(pages) * sum(cache.shape[1] for cache, _ in
                                                             self._pairs),
                              time.monotonic() - begun)
