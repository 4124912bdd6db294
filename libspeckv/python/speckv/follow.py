# SPDX-License-Identifier: Apache-2.0
"""Follower: what comes into a session's namespace and what goes (speckv_changes(3)).

    follower = speckv.Follower(session)
    while True:
        anew, stored, removed = follower.changes()   # ids, as layout.block_ids(keys) gives them
        if anew:
            known = set()
        known = (known | set(stored)) - set(removed)
        time.sleep(0.02)

Never waits for the daemon, and nobody waits for it: who asks too rarely is told to begin anew.
"""

import errno
import time

import numpy as np

from . import abi

BATCH = 4096


class Follower:
    def __init__(self, session):
        self._session = session
        self._cursor = np.zeros(1, abi.cursor)
        self._cursor["size"] = abi.cursor.itemsize
        self._changes = np.zeros(BATCH, abi.change)

    @property
    def lost(self):
        """Changes that were overwritten before they were read."""
        return int(self._cursor["lost"][0])

    def changes(self):
        """(anew, stored, removed): lists of ids (bytes of 32), each id in one list at most.

        anew: forget what was known, `stored` is all that is there. So at first, after changes were
        lost, and when the daemon was started again. Else what changed since the last call."""
        anew, last = False, {}  # by id: the last kind counts
        while True:
            count = self._session._core.changes(self._cursor, self._changes)
            if count == -errno.EOVERFLOW:
                anew, last = True, {}
                for some in self._resident():
                    last.update(dict.fromkeys(some, abi.CHANGE_STORED))
            elif count:
                some = self._changes[:count]
                last.update(zip(_ids(some), some["kind"].tolist()))
            else:
                break
        stored = [key for key, kind in last.items() if kind == abi.CHANGE_STORED]
        removed = [key for key, kind in last.items() if kind != abi.CHANGE_STORED]
        return anew, stored, [] if anew else removed

    def _resident(self):
        some, position = np.zeros(BATCH, abi.change), 0
        while True:
            try:
                count, position = self._session._core.resident(position, some)
            except BlockingIOError:  # an entry is being changed at this moment
                time.sleep(0.0001)
                continue
            if not count:
                return
            yield _ids(some[:count])


def _ids(changes):
    flat = np.ascontiguousarray(changes["id"]).tobytes()
    return [flat[at : at + 32] for at in range(0, len(flat), 32)]
