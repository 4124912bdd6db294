# SPDX-License-Identifier: Apache-2.0
"""speckv_vllm: speckv as a KV connector of vLLM, for its CPU build.

    vllm serve MODEL --kv-transfer-config '{"kv_connector": "SpeckvConnector", "kv_role": "kv_both",
        "kv_connector_module_path": "speckv_vllm", "kv_load_failure_policy": "recompute"}'

docs/vllm.md is the manual. What imports vLLM is imported only when vLLM asks for it, so that the
rest can be tested without.
"""

import importlib

PLACES = {"SpeckvConnector": "connector", "SpeckvSpec": "spec", "SpeckvTier": "tier"}
__all__ = list(PLACES)


def __getattr__(name):
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    importlib.import_module(".seam", __name__)  # first: refuses a vLLM that is not known
    return getattr(importlib.import_module("." + PLACES[name], __name__), name)
