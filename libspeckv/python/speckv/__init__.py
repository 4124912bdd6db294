# SPDX-License-Identifier: Apache-2.0
"""speckv: put KV blocks of an LLM server into the pool and read them back.

    with speckv.Session(namespace="default") as session:
        layout = session.register(speckv.Layout(dtype="f16", layers=32, kv_heads=8, head_dim=128,
                                                block_tokens=64, rope="half",
                                                weights_digest=speckv.file_digest("model.gguf")))
        keys = speckv.key_chain(tokens, layout.block_tokens, salt=b"tenant")
        session.store(layout, layout.put_batch(keys, k, v, "blhtc"))   # writes, waits for the pool
        hits = session.get(layout, layout.get_batch(keys, k, v, "blhtc"))  # straight into k and v

Where there is a tier below the pool: locate() says what lies there, load() waits for it,
begin_prefetch() asks for it ahead, retain(), demote() and hint() say what blocks are worth between
two turns of a session.

A thin layer over the C ABI (speckv(7)): arrays go in and out by the buffer protocol without a
copy, with any strides; a batch is one NumPy structured array, so a key costs no Python; the GIL is
released in every call; errors are OSError with the errno that speckv(7) names. Any thread may use
a session. After a fork the child opens its own (every call of the parent's raises ECHILD).
Imports numpy and nothing else.
"""

from ._core import (BATCH_MAX, POSITION_UNKNOWN, Put, Puts, file_digest, files_digest,
                    variant_digest, version)
from .abi import Outcome
from .ahead import Prefetch
from .batch import GetBatch, PutBatch, key_chain
from .follow import Follower
from .layout import Layout
from .model_files import model_digest
from .objects import Objects
from .paged import Paged
from .session import Session

__all__ = [
    "BATCH_MAX",
    "Follower",
    "GetBatch",
    "Layout",
    "Objects",
    "Outcome",
    "POSITION_UNKNOWN",
    "Paged",
    "Prefetch",
    "Put",
    "PutBatch",
    "Puts",
    "Session",
    "file_digest",
    "files_digest",
    "key_chain",
    "model_digest",
    "variant_digest",
    "version",
]
