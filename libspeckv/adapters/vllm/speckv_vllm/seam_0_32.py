# SPDX-License-Identifier: Apache-2.0
"""seam_0_32.py - what speckv_vllm needs of vLLM 0.32, by the names that the rest of it uses.

A later vLLM that moves a name, or means something else by it, gets a seam file of its own.
"""

from prometheus_client import Counter
from vllm import __version__ as VERSION
from vllm.distributed.kv_events import MEDIUM_CPU, BlockRemoved, BlockStored
from vllm.distributed.kv_transfer.kv_connector.v1.base import (
    KVConnectorBase_V1,
    KVConnectorHandshakeMetadata,
    KVConnectorMetadata,
    KVConnectorRole,
    KVConnectorWorkerMetadata,
)
from vllm.distributed.kv_transfer.kv_connector.v1.metrics import (
    KVConnectorPromMetrics,
    KVConnectorStats,
)
from vllm.distributed.parallel_state import get_tensor_model_parallel_rank
from vllm.logger import init_logger
from vllm.v1.core.kv_cache_utils import maybe_convert_block_hash
from vllm.v1.kv_cache_interface import FullAttentionSpec
from vllm.v1.kv_offload.base import (
    LookupResult,
    Medium,
    OffloadingWorker,
    RequestOffloadingContext,
    TransferResult,
)
from vllm.v1.kv_offload.cpu.shared_offload_region import SharedOffloadRegion
from vllm.v1.kv_offload.tiering.base import JobResult, SecondaryTierManager
from vllm.v1.kv_offload.tiering.spec import TieringOffloadingSpec
from vllm.v1.metrics.cache_hit_source import CacheHitSource

__all__ = [
    "CacheHitSource",
    "Counter",
    "FullAttentionSpec",
    "JobResult",
    "KVConnectorBase_V1",
    "KVConnectorHandshakeMetadata",
    "KVConnectorMetadata",
    "KVConnectorPromMetrics",
    "KVConnectorRole",
    "KVConnectorStats",
    "KVConnectorWorkerMetadata",
    "LookupResult",
    "Medium",
    "OffloadingWorker",
    "RequestOffloadingContext",
    "SecondaryTierManager",
    "SharedOffloadRegion",
    "TieringOffloadingSpec",
    "TransferResult",
    "VERSION",
    "block_names",
    "get_tensor_model_parallel_rank",
    "init_logger",
    "kv_event",
    "one_group",
    "publishes_events",
    "scheduled",
    "writer",
]


def one_group(kv_cache_config):
    """The KV cache group whose blocks are stored. Raises ValueError for caches of another kind."""
    groups = kv_cache_config.kv_cache_groups
    if len(groups) != 1 or type(groups[0].kv_cache_spec) is not FullAttentionSpec:
        kinds = ", ".join(type(group.kv_cache_spec).__name__ for group in groups) or "none"
        raise ValueError(f"KV cache groups of this model: {kinds}; expected one FullAttentionSpec "
                         "(no MLA, no state-space layers)")
    return groups[0]


def scheduled(output):
    """(request id, tokens computed before, tokens of this step, function that returns its pages)
    of each request that a SchedulerOutput schedules."""
    cached, state = output.scheduled_cached_reqs, output.kv_connector_block_state
    computed = [(each.req_id, each.num_computed_tokens) for each in output.scheduled_new_reqs]
    computed += zip(cached.req_ids, cached.num_computed_tokens)
    return [(name, before, output.num_scheduled_tokens[name],
             lambda name=name: state.get_block_ids(name)[0]) for name, before in computed]


def publishes_events(vllm_config):
    events = vllm_config.kv_events_config
    return bool(events and events.enable_kv_cache_events)


def block_names(request, first):
    """(what vLLM's events call the request's whole blocks from `first` on, its LoRA's name)."""
    lora = request.lora_request.name if request.lora_request else None
    return [maybe_convert_block_hash(each) for each in request.block_hashes[first:]], lora


def kv_event(event):
    """A speckv.events Stored or Removed as vLLM's own. Nothing is ever cleared: that would clear
    what this engine has in its own memory, too."""
    if not hasattr(event, "blocks"):
        return BlockRemoved(block_hashes=event.hashes, medium=MEDIUM_CPU)
    first = event.blocks[0]
    return BlockStored(block_hashes=[block.hash for block in event.blocks],
                       parent_block_hash=event.parent,
                       token_ids=[token for block in event.blocks for token in block.tokens],
                       block_size=len(first.tokens), lora_id=None, medium=MEDIUM_CPU,
                       lora_name=first.lora)


def writer(layer):
    """A function that has an attention layer's own kernel write k and v, [tokens, heads, channels],
    into the slots 0, 1 ... of a KV cache tensor; None if it has no such kernel."""
    import torch

    def write(k, v, cache):
        slots = torch.arange(len(k), dtype=torch.int64)
        layer.impl.do_kv_cache_update(layer, k, v, cache, slots)

    return write if hasattr(layer.impl, "do_kv_cache_update") else None
