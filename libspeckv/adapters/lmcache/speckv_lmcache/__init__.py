# SPDX-License-Identifier: Apache-2.0
"""speckv_lmcache: speckv as an L2 of LMCache, through its `native_plugin` adapter.

    --l2-adapter '{"type": "native_plugin", "module_path": "speckv_lmcache",
                   "class_name": "SpeckvClient", "adapter_params": {"namespace": "default"}}'

docs/lmcache.md is the manual. Imports speckv and nothing of LMCache; never loops over keys: each
call hands LMCache's lists to the compiled half of the package.
"""

import speckv

__all__ = ["SpeckvClient"]

LAYOUT_NAMES = {"tokens": "block_tokens"}  # what LMCache calls a block is a chunk of tokens


class SpeckvClient:
    """What LMCache asks of a native connector. Its parameters are the `adapter_params`.

    layout: None, and objects are bytes of any size up to max_object_bytes, stored exactly. Or what
    an object is, {"dtype": "bf16", "layers": 32, "kv_heads": 8, "head_dim": 128, "tokens": 256}
    and other fields of speckv.Layout ("preset", "rope" ...): objects are then chunks in LMCache's
    [2, layers, tokens, kv_heads * head_dim], of exactly that size, stored by the preset.

    wait: seconds that a load waits for what lies in a tier below the pool; 0: that is a miss.
    variant: a text that keeps apart what the model's name does not, such as the engine's KV dtype.
    Raises OSError where no daemon answers, ValueError with a sentence where a parameter cannot be.
    """

    def __init__(self, namespace=None, socket=None, layout=None, variant="", threads=2,
                 max_object_bytes=32 << 20, arena_bytes=64 << 20, timeout=5.0, wait=0.2,
                 daemon_uid=-1):
        session = {"namespace": namespace, "socket": socket, "threads": threads,
                   "arena_bytes": arena_bytes, "timeout": timeout, "wait": wait,
                   "daemon_uid": daemon_uid}
        if layout is None:
            digest = speckv.variant_digest("lmcache bytes", variant)
            self._objects = speckv.Objects.of_bytes(max_object_bytes, digest, **session)
        else:
            self._objects = speckv.Objects.of_rows(chunk_layout(layout, variant), **session)

    def event_fd(self):
        return self._objects.event_fd()

    def submit_batch_set(self, keys, buffers):
        return self._objects.put(keys, buffers)

    def submit_batch_get(self, keys, buffers):
        return self._objects.get(keys, buffers)

    def submit_batch_exists(self, keys):
        return self._objects.look(keys)

    def submit_batch_delete(self, keys):
        return self._objects.remove(keys)

    def drain_completions(self):
        """[(future id, ok, error, True or False for each key)]"""
        return self._objects.drain()

    def close(self):
        self._objects.close()

    def stats(self):
        """Counters of the session, by the names of speckv_stats(3)."""
        return self._objects.stats()


def chunk_layout(fields, variant=""):
    """adapter_params' "layout" as a speckv.Layout."""
    facts = {LAYOUT_NAMES.get(name, name): value for name, value in fields.items()}
    if "weights_digest" in facts:
        facts["weights_digest"] = bytes.fromhex(facts["weights_digest"])
    digest = speckv.variant_digest("lmcache 2ltd", variant)
    try:
        return speckv.Layout(**facts, variant_digest=digest)
    except TypeError as error:
        raise ValueError(f"layout: {error}") from None
