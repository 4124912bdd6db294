# SPDX-License-Identifier: Apache-2.0
"""speckv.aio: what a session answers later, under asyncio, woken by its event descriptor.

    queue = speckv.aio.Completions(session)      # inside a running event loop
    results = await queue.put(layout, batch)     # int32 array: 0 or -errno for each key
    outcomes = await queue.prefetch(layout, keys, timeout=0.5)  # abi.outcome [keys]
    queue.close()

Reads need no await: Session.get() never waits. Session.load() does: await a prefetch, then get().
One Completions a session: it reaps all of them.
"""

import asyncio
import contextlib
import errno
import itertools
import os

import numpy as np

RETRY_S = 0.001  # a full arena drains as the daemon answers; nothing else would wake this up


class _Call:
    """One call under way. Its completions carry `first` plus the operation's place."""

    def __init__(self, first, count):
        self.first = first
        self.results = np.zeros(count, np.int32)  # of a remove: none, its keys share `first`
        self.good = 0  # completions that said 0
        self.error = 0  # -errno of one that did not
        self.left = 0  # submitted and not answered
        self.future = None


class Completions:
    def __init__(self, session):
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._fd = session.event_fd()
        self._numbers = itertools.count(1)
        self._calls = {}  # by the upper half of user_data
        self._loop.add_reader(self._fd, self._reap)

    def close(self):
        """Stops listening; what is still awaited is cancelled."""
        self._loop.remove_reader(self._fd)
        for call in self._calls.values():
            if call.future:
                call.future.cancel()
        self._calls.clear()

    async def put(self, layout, batch):
        """Submits a batch, again while the arena is full, and waits for each answer. Returns the
        results; batch.results has them too."""
        with self._call(len(batch)) as call:
            batch.ops["user_data"] = np.uint64(call.first) + np.arange(len(batch), dtype=np.uint64)
            todo = np.arange(len(batch))
            while len(todo):
                part = batch.ops[todo]
                self._session.submit(layout, part)
                taken, full = part["ret_result"] == 0, part["ret_result"] == -errno.EAGAIN
                call.results[todo] = part["ret_result"]
                call.left += int(taken.sum())
                todo = todo[full]
                self._reap()
                if len(todo):
                    await asyncio.sleep(RETRY_S)
            await self._answered(call)
        batch.ops["ret_result"] = call.results
        return call.results

    async def remove(self, layout, keys):
        """Removes blocks. Returns how many were there and are gone."""
        with self._call(0) as call:
            call.left = self._session.remove(layout, keys, user_data=call.first)
            await self._answered(call)
        return call.good

    async def demote(self, layout, keys):
        """As Session.demote(). Returns how many went or are being written to the tier below; raises
        OSError where none did: EOPNOTSUPP (no tier), EBUSY, ENOENT."""
        with self._call(0) as call:
            call.left = self._session.demote(layout, keys, user_data=call.first)
            await self._answered(call)
        if call.good == 0 and call.error:
            raise OSError(-call.error, f"speckv_demote: {os.strerror(-call.error)}")
        return call.good

    async def prefetch(self, layout, keys, timeout=None, budget=None):
        """As Session.begin_prefetch(), and waits until no key is on its way any more. Returns the
        outcomes of all keys: an array [n] of (outcome, error), see speckv.Outcome. Cancelling it
        cancels what is on its way. Raises OSError as begin_prefetch() does."""
        with self._call(0) as call, self._session.begin_prefetch(
                layout, keys, timeout, budget, user_data=call.first) as prefetch:
            call.left = 1
            await self._answered(call)
            return prefetch.outcomes()

    @contextlib.contextmanager
    def _call(self, count):
        number = next(self._numbers)
        call = self._calls[number] = _Call(number << 32, count)
        try:
            yield call
        finally:
            self._calls.pop(number, None)

    async def _answered(self, call):
        self._reap()
        while call.left:
            call.future = self._loop.create_future()
            await call.future

    def _reap(self):
        while len(done := self._session.reap()):
            numbers = done["user_data"] >> np.uint64(32)
            for number in np.unique(numbers):
                if call := self._calls.get(int(number)):
                    self._answer(call, done[numbers == number])

    @staticmethod
    def _answer(call, done):
        if len(call.results):
            places = (done["user_data"] - np.uint64(call.first)).astype(np.intp)
            call.results[places] = done["result"]
        call.good += int((done["result"] == 0).sum())
        call.error = min(call.error, int(done["result"].min()))
        call.left -= len(done)
        if call.left == 0 and call.future and not call.future.done():
            call.future.set_result(None)
