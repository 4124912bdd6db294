# SPDX-License-Identifier: Apache-2.0
"""plan.py - what the scheduler's side tells the workers to do in one step. Imports nothing of vLLM;
travels between processes."""

import dataclasses

import numpy as np


@dataclasses.dataclass
class Moves:
    """Blocks and the engine's pages for them, of any number of sequences."""

    keys: np.ndarray  # uint8 [n, 32]
    pages: np.ndarray  # int64 [n]
    parents: np.ndarray | None = None  # uint8 [n, 32]; of what is saved
    positions: np.ndarray | None = None  # uint32 [n]

    @classmethod
    def join(cls, parts):
        """One of all parts; None of none."""
        if not parts:
            return None
        fields = [field.name for field in dataclasses.fields(cls)]
        columns = {name: [getattr(part, name) for part in parts] for name in fields}
        return cls(**{name: None if column[0] is None else np.concatenate(column)
                      for name, column in columns.items()})


@dataclasses.dataclass
class Plan:
    step: int  # counts up, from 1
    settled: int  # of the steps whose outcome the scheduler knew when it made this one, the last
    spoilt: tuple = ()  # of these, the last ones of which nothing may be saved on any rank
    loads: Moves | None = None
    saves: Moves | None = None


@dataclasses.dataclass
class Outcome:
    """What a worker says of a step. unsaved: what was to be saved must not be, for a load failed:
    on any rank, since each computes from what all of them have."""

    step: int
    unsaved: bool = False

    def joined(self, other):
        """Of all ranks."""
        return Outcome(min(self.step, other.step), self.unsaved or other.unsaved)
