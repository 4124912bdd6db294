# SPDX-License-Identifier: Apache-2.0
"""worker.py - a worker's side: loads and saves the blocks of a step, layer by layer, beside the
computing. Imports nothing of vLLM or torch: the KV cache comes as NumPy arrays.

One thread loads and one saves; both spend their time in C without the GIL. A layer is waited for
just before it is used. A block that could not be loaded makes its page a failed one, and then
nothing that this step computed is saved, nor what steps after it compute until the scheduler has
seen the failure: it may have been computed from what was not there. Where other workers compute
beside this one, a failure of theirs spoils what this one computed: a save is then committed only
when the scheduler has heard well of its step from all of them. What the arena has no room for is
saved at the end of the step, for save_timeout at most, or left out: a miss later.
"""

import collections
import errno
import queue
import threading
import time

import numpy as np

import speckv
import speckv.parallel

from .plan import Outcome

LAYERS_AT_ONCE = 8  # of a load, at most: the first layer alone, then two, four ...
QUIET_S = 1.0  # after a save that was not taken in time


def layer_groups(layers):
    """[(first, count)]: small ones first, so that computing starts at once."""
    groups, first, count = [], 0, 1
    while first < layers:
        count = min(count, layers - first, LAYERS_AT_ONCE)
        groups.append((first, count))
        first, count = first + count, count * 2
    return groups


class WorkerSide:
    def __init__(self, options, count, layout, k, v, axes, arena_bytes, workers=1,
                 clock=time.monotonic):
        """k, v, axes: as in speckv.Paged. count(**numbers): adds to the statistics. workers: how
        many compute a step together."""
        self._options, self._count, self._clock = options, count, clock
        self._alone = workers == 1
        self._uncommitted = collections.deque()  # (step, puts, saves)
        self._session = speckv.Session(options.namespace, options.socket, arena_bytes,
                                       options.timeout, options.daemon_uid)
        self.layout = self._session.register(layout)
        self._paged = speckv.Paged(self.layout, k, v, axes)
        self._reader = speckv.parallel.Reader(self._session, options.load_threads)
        self._groups = layer_groups(layout.layers)
        self._ready = threading.Condition()
        self._loaded = layout.layers  # layers of this step's load that are in their pages
        self._plan = self._puts = self._saves = self._bad = None
        self._given = np.zeros(layout.layers, bool)  # layers of this step's save
        self._unsaved = False
        self._failed_step = 0
        self._quiet_until = 0.0
        self._jobs = {name: queue.SimpleQueue() for name in ("load", "save")}
        self._threads = [threading.Thread(target=self._run, args=(jobs,), name=f"speckv-{name}",
                                          daemon=True) for name, jobs in self._jobs.items()]
        for thread in self._threads:
            thread.start()

    def close(self):
        for jobs in self._jobs.values():
            jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._reader.close()
        self._session.close()

    def begin(self, plan):
        """Starts a step; again with the same plan: nothing."""
        if self._plan is plan:
            return
        self._plan, self._unsaved = plan, False
        while self._uncommitted and self._uncommitted[0][0] <= plan.settled:
            self._commit(plan, *self._uncommitted.popleft())
        if plan.loads is not None:
            self._loaded = 0
            self._bad = np.zeros(len(plan.loads.keys), bool)
            batch = self._paged.get_batch(plan.loads.keys, plan.loads.pages)
            self._jobs["load"].put(lambda: self._load(batch))
        if plan.saves is not None and self._failed_step > plan.settled:
            self._leave_out(len(plan.saves.keys))
        elif plan.saves is not None:
            saves = plan.saves
            self._saves = self._paged.put_batch(saves.keys, saves.pages, saves.parents,
                                                saves.positions)
            self._given[:] = False
            self._puts = self._session.begin_batch(self.layout, self._saves)

    def wait_layer(self, layer):
        """Returns when this step's load of the layer is in its pages, or has failed."""
        if self._loaded > layer:
            return
        begun = self._clock()
        with self._ready:
            self._ready.wait_for(lambda: self._loaded > layer)
        self._count(wait_seconds=self._clock() - begun)

    def layer_done(self, layer):
        """The step will not change the KV of this layer any more."""
        if self._puts is None or self._given[layer]:
            return
        puts = self._puts
        self._given[layer] = True
        self._jobs["save"].put(lambda: puts.layers(layer, 1))

    def finish(self):
        """Ends a step. Returns: (Outcome, the pages that were not loaded)."""
        self.wait_layer(len(self._given) - 1)
        plan, failed = self._plan, []
        if plan.loads is not None:
            failed = plan.loads.pages[self._bad].tolist()
            loaded = len(self._bad) - len(failed)
            self._count(loaded_blocks=loaded, failed_blocks=len(failed),
                        loaded_bytes=loaded * self.layout.block_bytes)
        if failed:
            self._failed_step = plan.step
        if self._puts is not None:
            self._end_saves(bool(failed))
        self._plan = None
        while len(self._session.reap()):  # also what finds a daemon that came back
            pass
        return Outcome(plan.step, self._unsaved), failed

    def stats(self):
        """Of the session, by the names of speckv_stats(3)."""
        return self._session.stats()

    @staticmethod
    def _run(jobs):
        for job in iter(jobs.get, None):
            job()

    def _load(self, batch):
        begun = self._clock()
        for first, count in self._groups:
            part = batch.layers(first, count)
            try:
                self._reader.get(self.layout, part)
                self._bad |= part.results != 0
            except OSError:
                self._bad[:] = True
            with self._ready:
                self._loaded = first + count
                self._ready.notify_all()
        self._count(load_seconds=self._clock() - begun)

    def _leave_out(self, count):
        self._unsaved = True
        self._count(dropped_blocks=count)

    def _end_saves(self, failed):
        begun, (puts, saves) = self._clock(), (self._puts, self._saves)
        self._puts = self._saves = None
        for layer in np.flatnonzero(~self._given):  # whose end nobody announced
            self._jobs["save"].put(lambda layer=int(layer): puts.layers(layer, 1))
        done = threading.Event()
        self._jobs["save"].put(done.set)
        done.wait()
        if failed:
            puts.abort()
            self._leave_out(len(saves))
            return
        if not self._alone:
            self._uncommitted.append((self._plan.step, puts, saves))
            return
        saved = puts.commit()
        rest = np.flatnonzero(saves.results == -errno.EAGAIN)
        saved += self._store(saves.some(rest)) if len(rest) else 0
        self._count(saved_blocks=saved, dropped_blocks=len(saves) - saved,
                    save_seconds=self._clock() - begun)

    def _commit(self, plan, step, puts, saves):
        """What an earlier step copied, now that all workers' outcome of it is known."""
        if step in plan.spoilt:
            puts.abort()
        saved = 0 if step in plan.spoilt else puts.commit()
        self._count(saved_blocks=saved, dropped_blocks=len(saves) - saved)

    def _store(self, batch):
        """What the arena had no room for before. Returns: how many blocks are stored."""
        if self._clock() < self._quiet_until:
            return 0
        try:
            self._session.store(self.layout, batch, self._options.save_timeout)
        except OSError:
            self._quiet_until = self._clock() + QUIET_S
        return int((batch.results == 0).sum())
