# SPDX-License-Identifier: Apache-2.0
"""bench_arms.py - the arms of `make bench-engines`: how each makes its engine, and what runs beside
it. An arm is given the bytes of fast memory that its cache may have, the same for all of them; the
engine's own KV cache has room for one session, but in the bound, where it has room for all."""

from engines import Engine

import daemon


class Arm:
    """engine: running, until `close` ends it."""

    def __init__(self, name, close, facts, server=None, options=None, connector=None, **more):
        self.engine = Engine(f"bench-{name}", server, options, connector,
                             max_model_len=facts["tokens_max"], **more)
        close.callback(self.engine.close)


def nothing(name, close, facts):
    return Arm(name, close, facts, num_gpu_blocks_override=facts["few"])


def resident(name, close, facts):
    return Arm(name, close, facts, num_gpu_blocks_override=facts["all"])


def tiering(name, close, facts):
    """vLLM's own tiers, with SpeckvSpec's copying worker alone, which vLLM's CPU build has none
    of."""
    options = {"spec_name": "PlainSpec", "spec_module_path": "plain_spec",
               "cpu_bytes_to_use": facts["bytes"]}
    return Arm(name, close, facts, True, options, (None, "OffloadingConnector"),
               num_gpu_blocks_override=facts["few"])


def speckv(preset):
    def make(name, close, facts):
        server = daemon.Daemon(pool=f"{facts['bytes'] >> 20}MiB", preset=preset)
        close.callback(server.close)
        return Arm(name, close, facts, server, None, ("speckv_vllm", "SpeckvConnector"),
                   num_gpu_blocks_override=facts["few"])

    return make


ARMS = {"none": nothing, "vllm-tiering": tiering, "exact": speckv("exact"),
        "near-lossless": speckv("near-lossless"), "balanced": speckv("balanced"),
        "compact": speckv("compact"), "resident": resident}
