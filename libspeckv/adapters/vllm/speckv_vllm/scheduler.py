# SPDX-License-Identifier: Apache-2.0
"""scheduler.py - the scheduler's side: which blocks of a request the pool has, what a step loads
and what it saves. Imports nothing of vLLM: a request is whatever has the fields used here.

A block is one page of the engine. Its key is chained over the token ids before it, salted with
what else its KV depends on (docs/vllm.md). What a look-up found is held until the step that loads
it is over, so it cannot be evicted in between. What lies in a tier below the pool comes up first,
while the request waits its turn for `wait` at most (below.py); it is there, and not saved again.
Calls nothing that waits longer than hold_timeout; a daemon that did not answer is not asked for a
while.

What is saved must have been computed from KV that was there: where a load fails, the worker saves
nothing of that step, nor of the steps that were under way when it failed (Plan.settled).
"""

import collections
import contextlib
import errno
import time

import numpy as np

import speckv

from .below import Coming
from .plan import Moves, Plan

QUIET_S = 1.0  # after a hold without an answer
SPOILT_MAX = 64  # steps; more than an engine has under way at a time


class Sequence:
    """One request: its keys so far, and of which of its blocks the pool is known to have KV."""

    def __init__(self, request, salt, block_tokens):
        self.request = request
        self.block_tokens = block_tokens
        self._salt = salt
        self.keys = np.empty((0, 32), np.uint8)
        self.have = np.zeros(0, bool)
        self.looked_up = 0  # blocks that the engine had itself at the last look-up
        self.load = None  # (first block, how many), until a step takes it
        self.load_step = 0
        self.scanned = 0  # blocks before this one are in the pool or on their way
        self.told = 0  # blocks before this one were told to routers
        self.asked = None
        self.coming = None
        self.holds = []
        self.held_until = 0.0

    def grow(self, blocks):
        """Keys of at least so many blocks; their tokens are known."""
        n = len(self.keys)
        if blocks <= n:
            return
        tokens = self.request.all_token_ids[n * self.block_tokens : blocks * self.block_tokens]
        parent = self.keys[-1] if n else None
        more = speckv.key_chain(tokens, self.block_tokens, parent, self._salt)
        self.keys = np.concatenate([self.keys, more])
        self.have = np.concatenate([self.have, np.zeros(len(more), bool)])

    def missing(self, end):
        """Of the blocks before `end`, those that the pool is not known to have; they count as
        there from now on."""
        self.grow(end)
        todo = self.scanned + np.flatnonzero(~self.have[self.scanned : end])
        self.have[todo] = True
        self.scanned = max(self.scanned, end)
        return todo

    def parents(self, blocks):
        zeros = np.zeros((1, 32), np.uint8)
        return np.concatenate([zeros, self.keys])[blocks]

    def forget(self):
        """What was to be saved was not."""
        self.have[:] = False
        self.scanned = 0


class SchedulerSide:
    """salt_of(request): bytes, or None for a request whose KV is neither loaded nor saved.
    names_of(request, first): what the engine calls the request's whole blocks from `first` on, and
    its LoRA's name; asked where `announce`, which makes an Announce of a session, is given."""

    def __init__(self, options, salt_of, count, clock=time.monotonic, names_of=None,
                 announce=None):
        self._options, self._salt_of, self._count, self._clock = options, salt_of, count, clock
        self._session = speckv.Session(options.namespace, options.socket,
                                       timeout=options.timeout, daemon_uid=options.daemon_uid)
        self._names_of = names_of
        self._announce = announce(self._session) if announce else None
        self._layouts = []
        self._sequences = {}
        self._saving = collections.defaultdict(list)  # by step
        self._loading = collections.defaultdict(list)
        self._step = self._settled = 0
        self._spoilt = collections.deque(maxlen=SPOILT_MAX)
        self._quiet_until = 0.0

    def close(self):
        if self._announce:
            self._announce.close()
        self._session.close()

    def take_events(self):
        """What routers should hear: speckv.events.Stored and Removed."""
        return self._announce.take() if self._announce else []

    def register(self, layouts):
        """Of all ranks: a block is there when each of them has its part."""
        self._layouts = [self._session.register(layout) for layout in layouts]

    def look_up(self, request, computed):
        """Returns: how many tokens after the first `computed` can be loaded; None: blocks come up
        from below the pool, ask again."""
        sequence = self._sequence(request)
        if sequence is None or not self._layouts or request.skip_reading_prefix_cache:
            return 0
        tokens = sequence.block_tokens
        end = (request.num_tokens - 1) // tokens
        first = min(computed // tokens, end)  # what the engine has itself is not to be saved again
        if end == 0:
            return 0
        coming = sequence.coming
        if coming and coming.asked == (first, end):
            if not self._is_over(coming):
                return None
            sequence.asked = (first, end, self._take(sequence, coming))
            return sequence.asked[2] * tokens
        fresh = self._clock() < sequence.held_until - self._options.hold / 2
        if sequence.asked is None or not fresh or sequence.asked[:2] != (first, end):
            leading = self._ask(sequence, first, end)
            self._tell(sequence)
            if leading is None:
                return None
            sequence.asked = (first, end, leading)
        return sequence.asked[2] * tokens

    def allocated(self, request, external_tokens):
        """The engine has pages for what look_up() found, for a part of it, or for none."""
        sequence = self._sequence(request)
        if sequence and external_tokens and sequence.asked:
            sequence.load = (sequence.asked[0], external_tokens // sequence.block_tokens)
        elif sequence and not external_tokens:
            self._unhold(sequence)

    def plan(self, scheduled):
        """scheduled: (request id, tokens computed before, tokens of this step, function that
        returns its pages) of each request of the step."""
        self._step += 1
        while len(self._session.reap()):  # ends of prefetches; finds a daemon that came back
            pass
        loads, saves = [], []
        for name, computed, count, pages_of in scheduled:
            sequence = self._sequences.get(name)
            if sequence is None:
                continue
            end = min(computed + count, sequence.request.num_tokens) // sequence.block_tokens
            if sequence.load is None and end <= sequence.scanned:
                continue
            pages = np.asarray(pages_of(), np.int64)
            if sequence.load:
                loads.append(self._load(sequence, pages))
            if saved := self._save(sequence, pages, end):
                saves.append(saved)
        return Plan(self._step, self._settled, tuple(self._spoilt), Moves.join(loads),
                    Moves.join(saves))

    def step_done(self, outcome):
        self._settled = max(self._settled, outcome.step)
        if outcome.unsaved:
            self._spoilt.append(outcome.step)
        for step in [step for step in self._loading if step <= outcome.step]:
            for sequence in self._loading.pop(step):
                self._unhold(sequence)
        for step in [step for step in self._saving if step <= outcome.step]:
            for sequence in self._saving.pop(step):
                if outcome.unsaved:
                    sequence.forget()

    def finished(self, name):
        sequence = self._sequences.pop(name, None)
        if sequence and sequence.load_step <= self._settled:  # else step_done() gives them back
            self._unhold(sequence)

    def _sequence(self, request):
        name = request.request_id
        if name not in self._sequences and self._layouts:
            salt = self._salt_of(request)
            tokens = self._layouts[0].block_tokens
            self._sequences[name] = None if salt is None else Sequence(request, salt, tokens)
        return self._sequences.get(name)

    def _ask(self, sequence, first, end):
        """Which blocks are there; those from `first` on are held. Returns: how many of them can
        be loaded in a row, or None: some of them come up."""
        self._unhold(sequence)
        sequence.grow(end)
        tiers = np.array([self._tiers(layout, sequence.keys[:end]) for layout in self._layouts])
        have = (tiers >= 0).all(axis=0)
        run = _leading(have[first:])
        in_pool = tiers[:, first : first + run] == speckv.abi.TIER_POOL
        held = self._hold_all(sequence, sequence.keys[first : first + run], in_pool)
        sequence.have[:end] = have
        sequence.scanned = 0
        sequence.held_until = self._clock() + self._options.hold
        coming = None if in_pool.all() else self._fetch(sequence, (first, end), ~in_pool, held)
        if coming:
            sequence.coming = coming
            return None
        leading = _leading(held.all(axis=0))
        self._count(lookups=1, lookup_blocks=end - first, hit_blocks=leading)
        return leading

    def _tiers(self, layout, keys):
        """Of each key its tier, or a negative number. Below the pool only the daemon looks."""
        if self._options.wait and self._clock() >= self._quiet_until and len(keys):
            _, tiers = self._session.locate(layout, keys, self._options.hold_timeout)
            if (tiers == -errno.ETIMEDOUT).any():
                self._quiet_until = self._clock() + QUIET_S
            return tiers
        return np.where(self._session.exists(layout, keys)[1], speckv.abi.TIER_POOL, -errno.ENOENT)

    def _fetch(self, sequence, asked, below, held):
        """below: bool [rank, run]. Returns: a Coming, or None where nothing could be asked for."""
        run, wait = below.shape[1], self._options.wait
        keys = sequence.keys[asked[0] : asked[0] + run]
        coming = Coming(asked, run, held, self._clock() + wait)
        for layout, places in zip(self._layouts, below):
            if places.any():
                try:
                    coming.ask(self._session, layout, keys, np.flatnonzero(places), wait)
                except OSError:  # the ring is full, or the daemon is gone
                    return None
        self._count(below_blocks=int(below.any(axis=0).sum()))
        return coming

    def _is_over(self, coming):
        try:
            return coming.settled(self._clock())
        except OSError:  # the session is closed
            return True

    def _take(self, sequence, coming):
        """What came up is held, too. Returns: how many blocks can be loaded in a row."""
        sequence.coming = None
        first, end = coming.asked
        run = slice(first, first + coming.run)
        keys, lost = sequence.keys[run], np.zeros(coming.run, bool)
        with contextlib.suppress(OSError):
            lost = coming.end()
        sequence.have[run] &= ~lost
        came = np.array([self._session.exists(layout, keys)[1] for layout in self._layouts])
        held = coming.held | self._hold_all(sequence, keys, came & ~coming.held)
        leading = _leading(held.all(axis=0))
        self._count(lookups=1, lookup_blocks=end - first, hit_blocks=leading,
                    late_blocks=coming.run - leading)
        return leading

    def _hold_all(self, sequence, keys, which):
        """which: bool [rank, key]. Returns: the same, what of it is held or at least there."""
        held = np.zeros_like(which)
        for layout, places, ret in zip(self._layouts, which, held):
            if places.any():
                ret[places] = self._hold(sequence, layout, keys[places])[1]
        return held

    def _hold(self, sequence, layout, keys):
        if self._clock() >= self._quiet_until:
            try:
                leading, hits, hold = self._session.hold(layout, keys, self._options.hold,
                                                         self._options.hold_timeout)
                if hold:
                    sequence.holds.append(hold)
                return leading, hits
            except TimeoutError:
                self._quiet_until = self._clock() + QUIET_S
            except OSError:
                pass
            self._count(unheld_lookups=1)
        return self._session.exists(layout, keys)  # mapped memory needs no daemon

    def _unhold(self, sequence):
        for hold in sequence.holds:
            with contextlib.suppress(OSError):  # its time may have passed, or its daemon is gone
                self._session.unhold(hold)
        sequence.holds, sequence.asked, sequence.held_until = [], None, 0.0
        if sequence.coming:
            with contextlib.suppress(OSError):
                sequence.coming.end()
            sequence.coming = None

    def _load(self, sequence, pages):
        first, count = sequence.load
        sequence.load, sequence.load_step = None, self._step
        sequence.asked = None
        self._loading[self._step].append(sequence)
        blocks = slice(first, first + count)
        return Moves(sequence.keys[blocks], pages[blocks])

    def _tell(self, sequence):
        """Routers hear of the blocks whose keys are known since the last time."""
        first, size = sequence.told, sequence.block_tokens
        if not self._announce or first >= len(sequence.keys):
            return
        before = max(0, first - 1)
        names, lora = self._names_of(sequence.request, before)
        parent, names = (names[0], names[1:]) if first and names else (None, names)
        end = min(first + len(names), len(sequence.keys))
        if end > first:
            tokens = sequence.request.all_token_ids[first * size : end * size]
            self._announce.tell(self._layouts, names[: end - first], parent, tokens,
                                sequence.keys[first:end], lora)
            sequence.told = end

    def _save(self, sequence, pages, end):
        blocks = sequence.missing(end)
        if not len(blocks):
            return None
        self._saving[self._step].append(sequence)
        self._tell(sequence)
        return Moves(sequence.keys[blocks], pages[blocks], sequence.parents(blocks),
                     (blocks * sequence.block_tokens).astype(np.uint32))


def _leading(good):
    """How many of a bool array are true before the first that is not."""
    return len(good) if good.all() else int(np.argmin(good))
