# SPDX-License-Identifier: Apache-2.0
"""The C structs of speckv.h as NumPy dtypes. A test compares them with what the compiler says."""

import enum

import numpy as np

key = np.dtype((np.uint8, 32))

view = np.dtype([("base", "u8"), ("token_stride", "i8"), ("head_stride", "i8"),
                 ("channel_stride", "i8")])

buf = np.dtype([("layer_first", "u4"), ("layer_count", "u4"), ("views", "u8")])

meta = np.dtype([("parent", key), ("position", "u4"), ("kind", "u4")])

get_op = np.dtype([("key", key), ("buf", buf), ("ret_result", "i4"), ("flags", "u4")])

put_op = np.dtype([("key", key), ("buf", buf), ("meta", meta), ("user_data", "u8"),
                   ("ret_result", "i4"), ("flags", "u4")])

completion = np.dtype([("user_data", "u8"), ("result", "i4"), ("flags", "u4")])

change = np.dtype([("id", key), ("kind", "u4"), ("reserved", "u4")])

SHARDS_MAX = 64
cursor = np.dtype([("size", "u4"), ("reserved_word", "u4"), ("epoch", "u8"), ("lost", "u8"),
                   ("next", ("u8", SHARDS_MAX))])

outcome = np.dtype([("outcome", "u4"), ("error", "i4")])

stats = np.dtype([("size", "u4"), ("connected", "u4"), ("hits", "u8"), ("misses", "u8"),
                  ("bytes_read", "u8"), ("retries", "u8"), ("stale", "u8"), ("corrupt", "u8"),
                  ("foreign", "u8"), ("puts", "u8"), ("put_bytes", "u8"), ("reconnects", "u8"),
                  ("pool_bytes", "u8"), ("pool_page_bytes", "u8")])

LAYERS_MAX = 256
layout = np.dtype([("size", "u4"), ("dtype", "u4"), ("layers", "u4"), ("kv_heads", "u4"),
                   ("head_dim", "u4"), ("block_tokens", "u4"), ("page_tokens", "u4"),
                   ("rank", "u4"), ("world", "u4"), ("rope", "u4"), ("rope_dims", "u4"),
                   ("preset", "u4"), ("weights_digest", (np.uint8, 32)),
                   ("variant_digest", (np.uint8, 32)), ("rope_theta", ("f4", LAYERS_MAX)),
                   ("first_layer", "u4"), ("side_bytes", "u4"),
                   ("reserved", ("u8", 3))])

GET_STREAM = 1
TIER_POOL, TIER_BELOW = 0, 1
COMPLETION_EXISTED = 1
CHANGE_STORED, CHANGE_REMOVED = 1, 2
KINDS = {"unknown": 0, "system": 1, "tool": 2, "conversation": 3, "scratch": 4}


class Outcome(enum.IntEnum):
    """What a key of a prefetch has come to: the field "outcome" of Prefetch.outcomes(). The first
    two change by themselves, the others stay; the field "error" is -errno of the last three."""

    ASKED = 0
    ON_ITS_WAY = 1
    READY = 2  # it can be read, until it is evicted
    CLIPPED = 3  # -ENOSPC: the budget is used up, or the pool has no room
    REJECTED = 4  # -EDQUOT: the namespace's limits; -ETIMEDOUT: the deadline; -EIO, -EAGAIN ...
    MISSING = 5  # -ENOENT: no tier has it


def kind_number(kind):
    """Of enum speckv_kind."""
    if kind not in KINDS:
        raise ValueError(f"kind: {kind!r} is none of {', '.join(KINDS)}")
    return KINDS[kind]
