# SPDX-License-Identifier: Apache-2.0
"""vLLM's KV events as bytes (vLLM 0.32: vllm/distributed/kv_events.py says what consumers expect).

A batch is a msgpack array [ts, events, data_parallel_rank]; an event is a map with its type's name
under "type", fields that have their default left out. The medium is CPU: consumers know GPU, CPU
and STORAGE, and drop what they do not know."""

import msgspec

from .tree import Cleared, Removed, Stored

MEDIUM_POOL = "CPU"


class Batch(msgspec.Struct, array_like=True, omit_defaults=True, gc=False):
    ts: float
    events: list
    data_parallel_rank: int | None = None


class Event(msgspec.Struct, omit_defaults=True, gc=False, tag=True):
    pass


class BlockStored(Event):
    block_hashes: list
    parent_block_hash: int | bytes | None
    token_ids: list[int]
    block_size: int
    lora_id: int | None
    medium: str | None
    lora_name: str | None


class BlockRemoved(Event):
    block_hashes: list
    medium: str | None


class AllBlocksCleared(Event):
    pass


def event_of(event):
    """A Stored, Removed or Cleared as vLLM's struct."""
    if isinstance(event, Stored):
        first = event.blocks[0]
        return BlockStored([block.hash for block in event.blocks], event.parent,
                           [token for block in event.blocks for token in block.tokens],
                           len(first.tokens), None, MEDIUM_POOL, first.lora)
    if isinstance(event, Removed):
        return BlockRemoved(event.hashes, MEDIUM_POOL)
    assert isinstance(event, Cleared)
    return AllBlocksCleared()


def encode(events, ts, rank):
    return msgspec.msgpack.encode(Batch(ts, [event_of(event) for event in events], rank))
