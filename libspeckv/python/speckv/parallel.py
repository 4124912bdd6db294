# SPDX-License-Identifier: Apache-2.0
"""speckv.parallel: a get on several threads. A hit is decoded on the thread that asks, without the
GIL, so k threads decode k times as fast as long as memory keeps up."""

import concurrent.futures

from ._core import BATCH_MAX


class Reader:
    """threads: how many, the caller's own among them. Reuse one Reader; close() or `with` ends its
    threads."""

    def __init__(self, session, threads):
        if threads < 1:
            raise ValueError(f"threads: {threads}; expected 1 or more")
        self._session, self._threads = session, threads
        self._pool = concurrent.futures.ThreadPoolExecutor(threads - 1) if threads > 1 else None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        if self._pool:
            self._pool.shutdown()

    def get(self, layout, batch):
        """As Session.get(). Returns how many are hits; batch.results says which."""
        parts = self._parts(batch.ops)
        core, number = self._session._core, layout.number
        jobs = [self._pool.submit(core.get, number, part) for part in parts[1:]]
        hits = core.get(number, parts[0]) if len(parts[0]) else 0
        return hits + sum(job.result() for job in jobs)

    def _parts(self, ops):
        threads = min(self._threads, max(1, len(ops)))
        size = min(-(-len(ops) // threads), BATCH_MAX) or 1
        return [ops[at : at + size] for at in range(0, len(ops), size)] or [ops]
