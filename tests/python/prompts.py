# SPDX-License-Identifier: Apache-2.0
"""prompts.py - sequences with the names that an engine would give their blocks, for tests of KV
events."""

import numpy as np

import kv
import speckv
from speckv import events


def prompt(seed, blocks):
    """(keys, [events.Block]) of a sequence; four neighbours begin with the same two blocks."""
    shared = np.random.default_rng(seed // 4).integers(0, 50_000, 2 * kv.TOKENS)
    own = np.random.default_rng(seed + 99).integers(0, 50_000, (blocks - 2) * kv.TOKENS)
    tokens = np.concatenate([shared, own])
    keys = speckv.key_chain(tokens, kv.TOKENS)
    ids = kv.layout().block_ids(keys)
    names = [int.from_bytes(bytes(key[:7]), "big") for key in keys]  # as an engine would hash
    return keys, [events.Block(name, names[i - 1] if i else None,
                               tokens[i * kv.TOKENS : (i + 1) * kv.TOKENS].tolist(),
                               [bytes(ids[i])]) for i, name in enumerate(names)]
