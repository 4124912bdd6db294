# SPDX-License-Identifier: Apache-2.0
"""below.py - blocks of one request that lie in a tier below the pool: asked for once, with the time
that the request may wait. Used by scheduler.py alone; never waits. Imports nothing of vLLM.

A block of the engine is one block a rank. What the pool has of a run is held at once, so that what
comes up cannot push it out; what has come up is held when the request is asked about again.
"""

import numpy as np

import speckv

UNDER_WAY = (speckv.Outcome.ASKED, speckv.Outcome.ON_ITS_WAY)


class Coming:
    """asked: (first, end), what the look-up was about. run: blocks from `first` on that some tier
    has, by all ranks. held: bool [rank, run], what of them is held. until: the clock's moment after
    which nobody waits."""

    def __init__(self, asked, run, held, until):
        self.asked, self.run, self.held, self.until = asked, run, held, until
        self._prefetches = []  # by rank: (places in the run, Prefetch)

    def ask(self, session, layout, keys, places, wait):
        """keys: of the run. Raises OSError where the session cannot ask for more."""
        self._prefetches.append(
            (places, session.begin_prefetch(layout, keys[places], timeout=wait)))

    def settled(self, now):
        """Whether none is on its way any more, or nobody waits."""
        return now >= self.until or not any(
            np.isin(prefetch.outcomes()["outcome"], UNDER_WAY).any()
            for _, prefetch in self._prefetches)

    def end(self):
        """Returns: bool [run], the blocks that some rank turned out to have nowhere."""
        lost = np.zeros(self.run, bool)
        for places, prefetch in self._prefetches:
            with prefetch:
                lost[places] |= prefetch.outcomes()["outcome"] == speckv.Outcome.MISSING
        return lost
