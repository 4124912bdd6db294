# SPDX-License-Identifier: Apache-2.0
"""lmcache_in_vllm.py - LMCacheMPConnector for vLLM's CPU build, whose scan for kernels reads the
instance dict of everything in every module: llvmlite's library object, which LMCache brings in,
answers that with a function of the library by this name. Here, and in this process alone, it has
no such names. Loaded by vLLM as a connector's module."""

from llvmlite.binding import ffi

_any_name = ffi._lib_wrapper.__getattr__


def _no_dunder(self, name):
    if name.startswith("__"):
        raise AttributeError(name)
    return _any_name(self, name)


ffi._lib_wrapper.__getattr__ = _no_dunder

from vllm.distributed.kv_transfer.kv_connector.v1.lmcache_mp_connector import LMCacheMPConnector

__all__ = ["LMCacheMPConnector"]
