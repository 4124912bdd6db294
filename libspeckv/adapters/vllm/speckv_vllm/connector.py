# SPDX-License-Identifier: Apache-2.0
"""connector.py - SpeckvConnector: the class that vLLM loads, once beside its scheduler and once in
each worker. Each call goes on to scheduler.py or worker.py; here are only vLLM's own shapes.

The workers' layouts reach the scheduler in vLLM's handshake, so that both ask for the same blocks
and ranks that disagree are refused before the first request.
"""

import dataclasses
import hashlib
import os

from . import model
from .announce import Announce
from .options import Options
from .plan import Outcome, Plan
from .scheduler import SchedulerSide
from .seam import (
    CacheHitSource,
    KVConnectorBase_V1,
    KVConnectorHandshakeMetadata,
    KVConnectorMetadata,
    KVConnectorRole,
    KVConnectorWorkerMetadata,
    block_names,
    init_logger,
    kv_event,
    one_group,
    publishes_events,
    scheduled,
)
from .stats import Counts, SpeckvPromMetrics, SpeckvStats
from .worker import WorkerSide

logger = init_logger("vllm.speckv")  # below vLLM's own, whose handlers it uses

ARENA_BYTES_MIN = 64 << 20
SAME_IN_ALL = ("dtype", "head_dim", "block_tokens", "page_tokens", "world", "preset",
               "weights_digest", "variant_digest")


@dataclasses.dataclass
class Metadata(KVConnectorMetadata):
    plan: Plan


@dataclasses.dataclass
class Handshake(KVConnectorHandshakeMetadata):
    layout: object


@dataclasses.dataclass
class WorkerMetadata(KVConnectorWorkerMetadata):
    outcome: Outcome

    def aggregate(self, other):
        return WorkerMetadata(self.outcome.joined(other.outcome))


class SpeckvConnector(KVConnectorBase_V1):
    _cache_hit_source = CacheHitSource.HOST

    def __init__(self, vllm_config, role, kv_cache_config=None):
        super().__init__(vllm_config, role, kv_cache_config)
        model.refuse_what_cannot_be(vllm_config, kv_cache_config)
        self._options = Options.of(self._kv_transfer_config.kv_connector_extra_config)
        self._counts = Counts()
        self._worker = self._scheduler = self._outcome = None
        self._failed_pages = []
        self._layers = {}  # by name
        self._loras = {}
        self._told = set()
        self._epoch = b""
        if role == KVConnectorRole.SCHEDULER:
            own = publishes_events(vllm_config)
            announced = own or self._options.events_tell
            self._scheduler = SchedulerSide(
                self._options, self._salt_of, self._counts.add, names_of=block_names,
                announce=(lambda session: Announce(session, self._options, own)) if announced
                else None)

    def shutdown(self):
        for side in (self._worker, self._scheduler):
            if side:
                side.close()
        self._worker = self._scheduler = None

    # ---- worker --------------------------------------------------------------------------------

    def register_kv_caches(self, kv_caches):
        config, caches = self._vllm_config, self._kv_cache_config
        spec = model.refuse_what_cannot_be(config, caches)
        layers = model.layers_of({name: kv_caches[name] for name in one_group(caches).layer_names})
        attention = config.compilation_config.static_forward_context
        order, k, v, axes = model.places_of(layers, attention, spec)
        layout = model.layout_of(config, caches, self._options, layers, order)
        self._layers = {name: i for i, (names, _) in enumerate(layers) for name in names}
        blocks = config.scheduler_config.max_num_batched_tokens // spec.block_size + 1
        arena = self._options.arena_bytes or max(ARENA_BYTES_MIN, blocks * layout.block_bytes)
        parallel = config.parallel_config
        workers = parallel.tensor_parallel_size * parallel.pipeline_parallel_size
        self._worker = WorkerSide(self._options, self._counts.add, layout, k, v, axes, arena,
                                  workers)
        logger.info("speckv: %d layers, rank %d of %d, blocks of %d tokens and %d bytes, preset "
                    "%s, KV in the order of %s", layout.layers, layout.rank, layout.world,
                    layout.block_tokens, layout.block_bytes, layout.preset, order)

    def get_handshake_metadata(self):
        return Handshake(dataclasses.replace(self._worker.layout, number=None))

    def start_load_kv(self, forward_context, **kwargs):
        self._worker.begin(self._get_connector_metadata().plan)

    def wait_for_layer_load(self, layer_name):
        layer = self._layers.get(layer_name)
        if layer is not None:
            self._worker.wait_layer(layer)

    def save_kv_layer(self, layer_name, kv_layer, attn_metadata, **kwargs):
        layer = self._layers.get(layer_name)
        if layer is not None:
            self._worker.begin(self._get_connector_metadata().plan)  # where nothing was to load
            self._worker.layer_done(layer)

    def wait_for_save(self):
        self._worker.begin(self._get_connector_metadata().plan)
        self._outcome, self._failed_pages = self._worker.finish()
        if self._failed_pages:
            logger.warning("speckv: %d blocks were gone or damaged when they were to be loaded",
                           len(self._failed_pages))

    def get_block_ids_with_load_errors(self):
        failed, self._failed_pages = set(self._failed_pages), []
        return failed

    def build_connector_worker_meta(self):
        outcome, self._outcome = self._outcome, None
        return WorkerMetadata(outcome) if outcome else None

    # ---- scheduler -----------------------------------------------------------------------------

    def set_xfer_handshake_metadata_pp_aware(self, metadata):
        layouts = [metadata[rank].layout for rank in sorted(metadata)]
        for name in SAME_IN_ALL:
            values = {getattr(layout, name) for layout in layouts}
            if len(values) > 1:
                raise ValueError(f"speckv: the workers disagree about {name}: {values}; expected "
                                 "the same model, dtype and speckv options in all of them")
        self._scheduler.register(layouts)

    def get_num_new_matched_tokens(self, request, num_computed_tokens):
        return self._scheduler.look_up(request, num_computed_tokens), False

    def update_state_after_alloc(self, request, blocks, num_external_tokens):
        self._scheduler.allocated(request, num_external_tokens)

    def build_connector_meta(self, scheduler_output):
        return Metadata(self._scheduler.plan(scheduled(scheduler_output)))

    def update_connector_output(self, connector_output):
        if meta := connector_output.kv_connector_worker_meta:
            self._scheduler.step_done(meta.outcome)

    def request_finished(self, request, block_ids):
        self._scheduler.finished(request.request_id)
        return False, None

    def take_events(self):
        return [kv_event(each) for each in self._scheduler.take_events()]

    def reset_cache(self):
        """What was stored so far is not found again: the weights may have been replaced."""
        self._epoch = os.urandom(16)
        return True

    @property
    def requires_kv_delivery(self):
        return False  # what is not saved is a miss later

    def _salt_of(self, request):
        """What a request's KV depends on beside its token ids: its cache salt and its LoRA's bytes.
        None, with one line in the log: depends on what is not in the token ids."""
        if request.mm_features or request.prompt_embeds is not None:
            return self._none("prompts with images, sound or embeddings")
        if request.resumable:
            return self._none("sessions whose input is still coming")
        user, adapter = (request.cache_salt or "").encode(), b""
        if lora := request.lora_request:
            adapter = self._lora_digest(lora)
            if adapter is None:
                return self._none(f"LoRA {lora.lora_name!r}: no adapter in {lora.lora_path}")
        if not (user or adapter or self._epoch):
            return b""
        return hashlib.sha256(len(user).to_bytes(8, "little") + user + adapter
                              + self._epoch).digest()

    def _lora_digest(self, lora):
        """Of the adapter that the engine has under this number: the files as they were when it was
        first named, or last reloaded."""
        if lora.load_inplace or lora.lora_int_id not in self._loras:
            self._loras[lora.lora_int_id] = model.lora_digest(lora.lora_path)
        return self._loras[lora.lora_int_id]

    def _none(self, what):
        if what not in self._told:
            self._told.add(what)
            logger.warning("speckv: neither loads nor saves %s", what)

    # ---- statistics ----------------------------------------------------------------------------

    def get_kv_connector_stats(self):
        numbers = self._counts.take()
        return SpeckvStats(data=numbers) if numbers else None

    @classmethod
    def build_kv_connector_stats(cls, data=None):
        return SpeckvStats(data=data or {})

    @classmethod
    def build_prom_metrics(cls, vllm_config, metric_types, labelnames, per_engine_labelvalues):
        return SpeckvPromMetrics(vllm_config, metric_types, labelnames, per_engine_labelvalues)
