# SPDX-License-Identifier: Apache-2.0
"""stand_ins.py - SGLang's storage base class, backend loader and host pools, without its kernels.

    stand_ins.install("build/engines/sglang/wheel")

Modules of SGLang that are not in REAL, and sgl_kernel, are stand-ins: what has a capital letter is
an empty class, all else answers False. What the test uses runs as it was released.
"""

import importlib.abc
import importlib.machinery
import sys
import types
from unittest import mock

STORAGE = "sglang.srt.mem_cache."
PACKAGES = ("sglang", "sglang.srt", "sglang.srt.mem_cache", STORAGE + "storage",
            STORAGE + "pool_host")
REAL = {"sglang.srt.environ", STORAGE + "hicache_storage", STORAGE + "storage.backend_factory",
        *(STORAGE + "pool_host." + name for name in ("mha", "mla", "base", "common", "hisparse",
                                                     "page_unified"))}


class _StandIn(types.ModuleType):
    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {}) if name[0].isupper() else mock.MagicMock(return_value=False)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("sglang", "sgl_kernel") and name not in REAL:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return _StandIn(spec.name)

    def exec_module(self, module):
        pass


def install(folder):
    for name in PACKAGES:
        package = types.ModuleType(name)
        package.__path__ = [f"{folder}/{name.replace('.', '/')}"]
        sys.modules[name] = package
    sys.meta_path.insert(0, _Finder())
