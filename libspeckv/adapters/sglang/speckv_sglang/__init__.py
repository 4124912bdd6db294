# SPDX-License-Identifier: Apache-2.0
"""speckv_sglang: speckv as a storage of SGLang's HiCache, by its `dynamic` backend.

    --hicache-storage-backend dynamic --hicache-storage-backend-extra-config
        '{"backend_name": "speckv", "module_path": "speckv_sglang", "class_name": "SpeckvHiCache",
          "interface_v1": 1}'

docs/sglang.md is the manual. A page of HiCache is one block: its K and V go from the host pool into
the daemon's arena and from the pool back by strides, without another copy. A page in a tier below
the pool is there: it comes up, and is waited for. Never raises out of a read or a write: SGLang's
threads would not come back. What fails is a miss, and one line in a log.
"""

import contextlib
import hashlib
import logging
import os
import threading

import numpy as np

import speckv
from sglang.srt.mem_cache.hicache_storage import HiCacheStorage

from .pool import Pool

__all__ = ["SpeckvHiCache"]

logger = logging.getLogger(__name__)
LAYOUT_FACTS = ("preset", "rope", "rope_dims", "rope_theta", "page_tokens")


class SpeckvHiCache(HiCacheStorage):
    """Its parameters are in SGLang's extra config: namespace, socket, arena_bytes, timeout, wait,
    daemon_uid; variant; weights (a model's file, for calibrated presets); fields of speckv.Layout.
    Raises OSError where no daemon answers, ValueError with a sentence for what cannot be."""

    def __init__(self, storage_config, kwargs=None):  # pylint: disable=unused-argument
        self._config = storage_config
        self._extra = dict(storage_config.extra_config or {})
        if storage_config.dcp_size > 1 or storage_config.should_split_heads:
            raise ValueError("speckv: pages that ranks share out (DCP, tp_lcm_size) are not stored")
        self._timeout = float(self._extra.get("timeout", 5.0))
        self._wait = float(self._extra.get("wait", 0.2))
        self._session = speckv.Session(
            self._extra.get("namespace"), self._extra.get("socket"),
            arena_bytes=int(self._extra.get("arena_bytes", 64 << 20)), timeout=self._timeout,
            daemon_uid=int(self._extra.get("daemon_uid", -1)))
        self._pool = self._layout = None
        self._writing = threading.Lock()  # store() reaps all answers of the session
        self._said = False
        self._epoch = b""  # changes with clear()

    def register_mem_pool_host(self, mem_pool_host):
        super().register_mem_pool_host(mem_pool_host)
        facts = {name: self._extra[name] for name in LAYOUT_FACTS if name in self._extra}
        if "weights" in self._extra:
            facts["weights_digest"] = speckv.file_digest(self._extra["weights"])
        config = self._config
        variant = "|".join((config.model_name or "", str(mem_pool_host.dtype),
                            f"cp{config.attn_cp_rank}/{config.attn_cp_size}",
                            self._extra.get("variant", "")))
        pool = Pool(mem_pool_host, config, facts, variant)
        pool.attach(mem_pool_host.kv_buffer)
        self._layout = self._session.register(pool.layout)
        self._pool = pool
        logger.info("speckv: pages of %d tokens, %d layers, %d bytes, preset %s, from layout %s",
                    pool.page_size, pool.layers, pool.layout.block_bytes, pool.layout.preset,
                    pool.name)

    def register_mem_host_pool_v2(self, host_pool, host_pool_name):
        if str(host_pool_name) == "kv":  # the one that is registered above
            return
        raise ValueError(f"speckv: the pool {host_pool_name} of a hybrid model is not stored; "
                         "expected a model with one pool of K and V")

    # ---- what SGLang calls with "interface_v1": 1

    def batch_get_v1(self, keys, host_indices, extra_info=None):
        del extra_info
        with self._missing():
            pages = self._pool.pages(host_indices, len(keys))
            batch = self._pool.get_batch(self._keys(keys), pages)
            self._session.load(self._layout, batch, self._wait)
            return (batch.results == 0).tolist()
        return [False] * len(keys)

    def batch_set_v1(self, keys, host_indices, extra_info=None):
        with self._missing():
            names = self._keys(keys)
            pages = self._pool.pages(host_indices, len(keys))
            parents, positions = self._place(names, extra_info)
            batch = self._pool.put_batch(names, pages, parents, positions)
            there = self._session.locate(self._layout, names, self._wait)[1] >= 0
            todo = np.flatnonzero(~there)  # what lies below would be stored anew
            if len(todo):
                there[todo] = self._store(batch.some(todo))
            return there.tolist()
        return [False] * len(keys)

    def batch_exists(self, keys, extra_info=None):
        del extra_info
        with self._missing():
            names = self._keys(keys)
            found = self._session.exists(self._layout, names)[0]
            if found < len(names) and self._wait:  # a page behind one that is nowhere is of no use
                below = self._session.locate(self._layout, names[found:], self._wait)[0]
                if below:
                    self._session.prefetch(self._layout, names[found : found + below])
                found += below
            return found
        return 0

    # ---- the calls without it: pages that lie by themselves

    def get(self, key, target_location=None, target_sizes=None):
        del target_sizes
        with self._missing():
            batch = self._pool.flat(target_location).get_batch(self._keys([key]), [0])
            found = self._session.load(self._layout, batch, self._wait)
            return target_location if found else None
        return None

    def batch_get(self, keys, target_locations=None, target_sizes=None):
        del target_sizes
        return [self.get(key, target) for key, target in zip(keys, target_locations)]

    def set(self, key, value=None, target_location=None, target_sizes=None):
        del target_location, target_sizes
        with self._missing():
            paged = self._pool.flat(value.contiguous())
            name = self._keys([key])
            return (self._session.locate(self._layout, name, self._wait)[0] == 1
                    or self._store(paged.put_batch(name, [0]))[0])
        return False

    def batch_set(self, keys, values=None, target_locations=None, target_sizes=None):
        del target_locations, target_sizes
        return all([self.set(key, value) for key, value in zip(keys, values)])

    def exists(self, key):
        return self.batch_exists([key]) == 1

    # ---- the rest

    def clear(self):
        """Removes what the pool has of this model, dtype and rank. Held blocks stay, and so does
        what lies below the pool: under names that this server does not use any more."""
        self._epoch = os.urandom(16)
        with self._missing():
            _, ids, _ = speckv.Follower(self._session).changes()
            there = np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 32)
            with self._writing:
                sent = self._session.remove(self._layout, self._layout.block_ids(there)) \
                    if len(there) else 0
                while sent > 0 and self._session.wait(self._timeout):
                    sent -= len(self._session.reap())
            return sent == 0
        return False

    def get_stats(self):
        return None  # SGLang's own metrics count pages; speckvd's count the rest

    def close(self):
        self._session.close()

    def _store(self, batch):
        with self._writing:
            with contextlib.suppress(TimeoutError):
                self._session.store(self._layout, batch, self._timeout)
        return (batch.results == 0).tolist()

    def _place(self, names, extra_info):
        """Parents and positions, where SGLang says what comes before."""
        before = getattr(extra_info, "prefix_keys", None)
        parents = np.zeros_like(names)
        parents[1:] = names[:-1]
        if before is None:
            return parents, None
        if before:
            parents[0] = self._keys(before[-1:])[0]
        return parents, (len(before) + np.arange(len(names))) * self._pool.page_size

    @contextlib.contextmanager
    def _missing(self):
        """What fails inside is a miss; the first of a row is said."""
        try:
            yield
            self._said = False
        except (OSError, ValueError) as error:
            if not self._said:
                logger.warning("speckv: pages are missed and not stored: %s", error)
            self._said = True

    def _keys(self, names):
        """Keys of SGLang's page names: hashes that chain over all that comes before."""
        return np.frombuffer(b"".join(hashlib.sha256(self._epoch + name.encode()).digest()
                                      for name in names), np.uint8).reshape(-1, 32)
