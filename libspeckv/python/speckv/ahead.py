# SPDX-License-Identifier: Apache-2.0
"""Prefetch: what Session.begin_prefetch() gives."""

import contextlib

import numpy as np

from . import _core, abi


class Prefetch:
    """Blocks on their way up from a tier below the pool. `with` ends it, and so does dropping it:
    what is still on its way is cancelled.

    asked: how many keys were asked for or can be read already."""

    def __init__(self, session, layout, keys, deadline_ns, budget, user_data):
        self._core = _core.Prefetch(session, layout, keys, deadline_ns,
                                    _core.NO_BUDGET if budget is None else budget, user_data)
        self.asked = self._core.asked

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with contextlib.suppress(OSError):  # the session may be closed
            self.end()

    def __len__(self):
        return self._core.keys

    def outcomes(self, count=None):
        """Those of the first `count` keys (None: of all) as they are now, without waiting: an
        array [count] of (outcome, error), see Outcome. EBADF: it has ended; ERANGE: it has fewer
        keys."""
        return self._outcomes(count)[1]

    def leading(self):
        """How many leading keys are ready now."""
        return self._outcomes(None)[0]

    def end(self):
        """Cancels what is on its way. A completion that has not come yet is then -ECANCELED.
        Nothing where it has ended."""
        self._core.end()

    def _outcomes(self, count):
        all_of_them = np.zeros(len(self) if count is None else count, abi.outcome)
        return self._core.outcomes(all_of_them), all_of_them
