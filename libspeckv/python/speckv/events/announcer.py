# SPDX-License-Identifier: Apache-2.0
"""Announcer: a session's changes and what was told, as events. What it was told can outlive it."""

from ..follow import Follower
from .told import Told
from .tree import Tree


class Announcer:
    """told: a file that keeps what was told, so that the next one announces blocks that were
    stored before it. known_max: see Tree. One thread."""

    def __init__(self, session, told=None, known_max=1 << 20):
        self._follower = Follower(session)
        self.tree = Tree(known_max)
        self._told = Told(told) if told else None
        self._events = []
        if self._told:
            self._events += self.tree.tell(self._told.read())

    def tell(self, blocks):
        """Says what the engine calls these blocks (Block). Before or after they are stored."""
        fresh = [block for block in blocks if not self.tree.knows(block.hash)]
        self._events += self.tree.tell(fresh)
        if self._told:
            self._told.write([block for block in fresh if self.tree.knows(block.hash)])
            self._told.compact(self.tree)

    def poll(self):
        """What changed since the last call: Stored, Removed. Never waits."""
        anew, stored, removed = self._follower.changes()
        if anew:
            self._events += self.tree.begin_anew(stored)
        else:
            self._events += self.tree.change(stored, removed)
        events, self._events = self._events, []
        return events

    @property
    def lost(self):
        """Changes that were overwritten before they were read; the answer was a look at all."""
        return self._follower.lost

    def close(self):
        if self._told:
            self._told.close()
