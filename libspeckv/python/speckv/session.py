# SPDX-License-Identifier: Apache-2.0
"""Session: a connection to one namespace of one daemon, with arrays and seconds."""

import contextlib
import dataclasses
import time

import numpy as np

from . import _core, abi
from .ahead import Prefetch


def _ns(seconds):
    return max(0, int(seconds * 1e9))


def _moment_ns(seconds):
    """The moment so many seconds from now, of the clock that the C library reads."""
    if seconds is None:
        return _core.NO_DEADLINE
    return min(time.clock_gettime_ns(time.CLOCK_MONOTONIC) + _ns(seconds), _core.NO_DEADLINE)


class Session:
    """socket: None means $SPECKV_SOCKET, else the default path. arena_bytes: staging memory
    wanted, 0 the daemon's default. daemon_uid: whom the daemon must run as; -1: root, user speckv
    or the caller. Raises OSError (ENOENT: no socket; EACCES: refused; ...).

    A layout must be registered before it is used; register() returns it with its number."""

    def __init__(self, namespace=None, socket=None, arena_bytes=0, timeout=2.0, daemon_uid=-1):
        self._core = _core.Session(socket, namespace, arena_bytes, int(timeout * 1e3), daemon_uid)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """Ends the session: its holds and open puts go. Calls afterwards raise ESHUTDOWN."""
        self._core.close()

    def event_fd(self):
        """A descriptor that is readable when reap() has something; poll it, never read it."""
        return self._core.event_fd()

    def register(self, layout):
        """Returns the layout with its number in this session."""
        return dataclasses.replace(layout, number=self._core.register_layout(layout.struct()))

    def get(self, layout, batch):
        """Reads blocks into the batch's arrays, on this thread. Returns how many are hits;
        batch.results says which."""
        return self._core.get(_number(layout), batch.ops)

    def load(self, layout, batch, timeout=1.0):
        """get() that may wait for blocks that lie below the pool, at most `timeout` seconds (None:
        as long as the daemon lets them come); 0 reads what can be read now. Returns how many
        leading blocks were read; batch.results says why the others were not: -ENOENT where nobody
        has it, -ETIMEDOUT where it is on its way still, -EDQUOT or -ENOSPC where it was not
        fetched. What lies behind the first that was not read may have been read or not."""
        return self._core.load(_number(layout), batch.ops, _moment_ns(timeout))

    def put(self, layout, batch, user_data=0):
        """Submits blocks. Returns how many were taken (batch.results 0); one completion follows
        for each, its user_data counting up from `user_data`."""
        batch.ops["user_data"] = np.uint64(user_data) + np.arange(len(batch), dtype=np.uint64)
        return self.submit(layout, batch.ops)

    def submit(self, layout, ops):
        """put() of the C structs themselves (abi.put_op), user_data as it stands there."""
        return self._core.put(_number(layout), ops)

    def store(self, layout, batch, timeout=10.0):
        """put(), and waits until the pool has every block; retries while the arena is full.
        Returns how many are stored; batch.results has each one's answer. Reaps all completions of
        the session: not beside other puts of it. Raises TimeoutError; what was under way then may
        or may not be stored."""
        return self._core.store(_number(layout), batch.ops, _ns(timeout))

    def begin(self, layout, key, parent=None, position=None, kind="unknown"):
        """One block layer by layer: a Put. `with` aborts it unless it was committed. kind: as in
        PutBatch."""
        meta = np.zeros(1, abi.meta)
        if parent is not None:
            meta["parent"] = np.frombuffer(bytes(parent), np.uint8)
        meta["position"] = _core.POSITION_UNKNOWN if position is None else position
        meta["kind"] = abi.kind_number(kind)
        return _core.Put(self._core, _number(layout), np.asarray(key, np.uint8), meta)

    def begin_batch(self, layout, batch):
        """A PutBatch layer by layer: Puts. batch.results says of each block whether it stands (0),
        or why not (EAGAIN: the arena is full; store() it afterwards). `with` aborts what was not
        committed; each committed block gives a completion with its op's user_data."""
        return _core.Puts(self._core, _number(layout), batch.ops, batch)

    def exists(self, layout, keys):
        """Returns (how many leading keys hit, bool array of all)."""
        keys, hits = _keys_and_hits(keys)
        leading = self._core.exists(_number(layout), keys, hits) if len(keys) else 0
        return leading, hits.view(bool)

    def locate(self, layout, keys, timeout=0.05):
        """Says in which tier blocks are, and fetches none. Returns (how many leading keys are in
        some tier, int32 [n]: abi.TIER_POOL, where get() reads; abi.TIER_BELOW, where load() does;
        -ENOENT; -EIO: below and not to be read now; -ETIMEDOUT or -ENOTCONN: not in the pool, and
        the daemon did not say more in time). Without a tier below the daemon is not asked."""
        keys = _keys(keys)
        tiers = np.zeros(len(keys), np.int32)
        leading = self._core.locate(_number(layout), keys, tiers, _ns(timeout)) if len(keys) else 0
        return leading, tiers

    def hold(self, layout, keys, ttl=10.0, timeout=1.0):
        """Keeps blocks from eviction for ttl seconds. Returns (how many leading keys are held,
        bool array, number of the hold for unhold() or another session's adopt(); 0: none)."""
        keys, hits = _keys_and_hits(keys)
        leading, hold = self._core.hold(_number(layout), keys, hits, _ns(ttl), _ns(timeout))
        return leading, hits.view(bool), hold

    @contextlib.contextmanager
    def holding(self, layout, keys, ttl=10.0, timeout=1.0):
        """hold() for the length of a `with`; gives how many leading keys are held."""
        leading, _, hold = self.hold(layout, keys, ttl, timeout)
        try:
            yield leading
        finally:
            if hold:
                with contextlib.suppress(OSError):  # its ttl may have passed
                    self._core.unhold(hold)

    def unhold(self, hold):
        self._core.unhold(hold)

    def adopt(self, hold, timeout=1.0):
        """Takes over a hold that another session of this uid and namespace made."""
        self._core.adopt(hold, _ns(timeout))

    def prefetch(self, layout, keys):
        """Says that these keys will be read soon: what lies below the pool comes up. Returns how
        many were passed on; begin_prefetch() tells what becomes of them."""
        return self._core.prefetch(_number(layout), _keys(keys))

    def begin_prefetch(self, layout, keys, timeout=None, budget=None, user_data=0):
        """The same with an end: a Prefetch, for `with`. Never waits. timeout: seconds from now,
        after which it is of no use. budget: stored bytes that may be read from below; leading
        keys come first. None: no limit but the namespace's. One completion of `user_data` follows
        when no key is on its way any more. Raises OSError: ETIMEDOUT (a timeout of 0), EINVAL (a
        budget of 0), ERANGE (one larger than the pool), EAGAIN (256 prefetches, or a full ring)."""
        return Prefetch(self._core, _number(layout), _keys(keys), _moment_ns(timeout), budget,
                        user_data)

    def retain(self, layout, keys, ttl=600.0, timeout=1.0):
        """Keeps blocks in the pool for ttl seconds, by bytes of which the namespace has so many:
        for a session that will be back. Returns (how many leading keys are retained, int32 [n]: 0,
        -ENOENT or -EDQUOT of each, number for retain_end()). Raises OSError where none is
        retained: ENOENT, EDQUOT, ETIMEDOUT."""
        keys = _keys(keys)
        results = np.zeros(len(keys), np.int32)
        leading, retain = self._core.retain(_number(layout), keys, results, _ns(ttl),
                                            _ns(timeout))
        return leading, results, retain

    def retain_end(self, retain):
        """EBADF: it is not this session's, or has ended."""
        self._core.retain_end(retain)

    def demote(self, layout, keys, user_data=0):
        """Says that these blocks are not needed in the pool for now: they go to the tier below,
        those that are not written there yet when they are asked again or their room is wanted.
        One completion for each: 0, -ENOENT, -EBUSY (held or retained), -EOPNOTSUPP (there is no
        tier below). Returns how many were submitted."""
        return self._core.demote(_number(layout), _keys(keys), user_data)

    def hint(self, layout, keys, kind="unknown", returns=None):
        """Tells the daemon what is known of blocks. kind: as in PutBatch; "unknown" leaves it as
        it was. returns: seconds until their session will speak again, None where that is not
        known. Returns how many were passed on."""
        moment = 0 if returns is None else _moment_ns(returns)
        return self._core.hint(_number(layout), _keys(keys), abi.kind_number(kind), moment)

    def remove(self, layout, keys, user_data=0):
        """Removes blocks; one completion for each. Returns how many were submitted."""
        return self._core.remove(_number(layout), _keys(keys), user_data)

    def reap(self, most=256):
        """Completions so far, without waiting: an array of (user_data, result, flags)."""
        done = np.zeros(most, abi.completion)
        return done[: self._core.reap(done)]

    def wait(self, timeout=1.0):
        """Sleeps until reap() has something. Returns False when none came in time, or when
        nothing is under way."""
        return self._core.wait(_ns(timeout))

    def stats(self):
        """Counters of this session, by the names of speckv_stats(3)."""
        stats = np.zeros(1, abi.stats)
        stats["size"] = abi.stats.itemsize
        self._core.stats(stats)
        return {name: int(stats[name][0]) for name in abi.stats.names if name != "size"}


def _number(layout):
    if layout.number is None:
        raise ValueError("this layout is not registered: use what Session.register() returns")
    return layout.number


def _keys(keys):
    return np.ascontiguousarray(keys, np.uint8).reshape(-1, 32)


def _keys_and_hits(keys):
    keys = _keys(keys)
    return keys, np.zeros(len(keys), np.uint8)
