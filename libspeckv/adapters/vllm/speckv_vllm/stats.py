# SPDX-License-Identifier: Apache-2.0
"""stats.py - the numbers of a connector, in vLLM's log line and in its Prometheus metrics.

Each side counts; vLLM adds up what all ranks and the scheduler counted since the last time.
"""

import threading

from .seam import Counter, KVConnectorPromMetrics, KVConnectorStats

HELP = {
    "lookups": "look-ups of requests in the pool",
    "lookup_blocks": "blocks that were looked up",
    "hit_blocks": "of these, blocks in a row that could be loaded",
    "below_blocks": "blocks in a row that were asked for from a tier below the pool",
    "late_blocks": "blocks of such rows that could not be loaded in time",
    "unheld_lookups": "look-ups whose hits could not be held: the daemon did not answer, or quota",
    "loaded_blocks": "blocks loaded into the KV cache, of one rank",
    "loaded_bytes": "bytes of them",
    "failed_blocks": "blocks that were gone or damaged when their load came",
    "load_seconds": "time that loads took, beside the computing",
    "wait_seconds": "time that the computing waited for them",
    "saved_blocks": "blocks given to the pool, those that it had already among them",
    "dropped_blocks": "blocks not saved: no room in the arena in time, or a failed load before",
    "save_seconds": "time that the computing waited for saves at the end of a step",
}


class Counts:
    """Added to by any thread."""

    def __init__(self):
        self._lock = threading.Lock()
        self._numbers = {}

    def add(self, **numbers):
        with self._lock:
            for name, number in numbers.items():
                self._numbers[name] = self._numbers.get(name, 0) + number

    def take(self):
        """What was added since the last time."""
        with self._lock:
            numbers, self._numbers = self._numbers, {}
        return numbers


class SpeckvStats(KVConnectorStats):
    def reset(self):
        self.data = {}

    def aggregate(self, other):
        for name, number in other.data.items():
            self.data[name] = self.data.get(name, 0) + number
        return self

    def reduce(self):
        return {name: round(self.data[name], 4) for name in HELP if name in self.data}

    def is_empty(self):
        return not any(self.data.values())


class SpeckvPromMetrics(KVConnectorPromMetrics):
    """vllm:speckv_..._total, one a name of HELP."""

    def __init__(self, vllm_config, metric_types, labelnames, per_engine_labelvalues):
        super().__init__(vllm_config, metric_types, labelnames, per_engine_labelvalues)
        self._counters = {}
        for name, text in HELP.items():
            counter = metric_types[Counter](name=f"vllm:speckv_{name}", documentation=text,
                                            labelnames=labelnames)
            self._counters[name] = {engine: counter.labels(*values)
                                    for engine, values in per_engine_labelvalues.items()}

    def observe(self, transfer_stats_data, engine_idx=0):
        for name, number in transfer_stats_data.items():
            if name in self._counters:
                self._counters[name][engine_idx].inc(number)
