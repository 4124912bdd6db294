# SPDX-License-Identifier: Apache-2.0
"""kv.py - a small layout, made-up KV and keys for the tests of this folder."""

import numpy as np

import speckv

TOKENS, LAYERS, HEADS, DIM = 32, 4, 2, 64


def layout(**changes):
    facts = {"dtype": "f16", "layers": LAYERS, "kv_heads": HEADS, "head_dim": DIM,
             "block_tokens": TOKENS, "preset": "exact"}
    return speckv.Layout(**{**facts, **changes})


def keys(count, seed):
    tokens = np.random.default_rng(seed).integers(0, 1 << 20, count * TOKENS)
    return speckv.key_chain(tokens, TOKENS)


def values(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float16)
