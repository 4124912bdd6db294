# SPDX-License-Identifier: Apache-2.0
"""bench_arms.py - the arms of `make bench-engines`: how each makes its engine, and what runs beside
it. An arm is given the bytes of fast memory that its cache may have, the same for all of them; the
engine's own KV cache has room for one session, but in the bound, where it has room for all."""

import functools

from engines import Engine
from lmcache_server import PACKAGES, LmcacheServer, Memory

import daemon

BLOCK_BYTES = 2949120  # of this model, 128 tokens: a chunk of LMCache's, too


class Arm:
    """engine: running, until `close` ends it. note(): what is to be said of it at the end."""

    note = staticmethod(lambda: "")

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


def lmcache(with_dax, name, close, facts):
    """LMCache's server: the bytes are what its L1 keeps, or what a `dax` device below it does. Both
    have room beside that for what is stored and loaded at once: with less, its log says that stores
    were dropped. Its engine finds LMCache's package behind its own."""
    session = facts["few"] * BLOCK_BYTES
    cache = Memory(facts["bytes"], 2 * session)
    own = Memory(2 * session, 2 * session) if with_dax else cache
    server = LmcacheServer(name, own, cache if with_dax else None, BLOCK_BYTES)
    close.callback(server.close)
    arm = Arm(name, close, facts, True, server.options(), ("lmcache_in_vllm", "LMCacheMPConnector"),
              num_gpu_blocks_override=facts["few"], path=[str(PACKAGES)], own_shm=False)
    arm.note = lambda: (f"{server.dropped()} stores found no room, by its log; beside the bytes it "
                        f"had {(own.size + cache.under_way if with_dax else own.under_way) >> 20} "
                        "MiB for what is under way")
    return arm


ARMS = {"none": nothing, "vllm-tiering": tiering,
        "lmcache": functools.partial(lmcache, False),
        "lmcache-dax": functools.partial(lmcache, True), "exact": speckv("exact"),
        "near-lossless": speckv("near-lossless"), "balanced": speckv("balanced"),
        "compact": speckv("compact"), "resident": resident}
