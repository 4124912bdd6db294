# SPDX-License-Identifier: Apache-2.0
"""lmcache_server.py - LMCache's own server beside an engine, for bench_arms.py. It runs in the
environment of LMCache's tests; the engine takes LMCache's connector from there (PACKAGES), behind
all of its own packages."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sysconfig
import time
from typing import NamedTuple

import engines

ENV = engines.ROOT / "build/engines/lmcache/env"
PACKAGES = ENV / f"lib/python{sysconfig.get_python_version()}/site-packages"
START_S = 120  # a bound alone
# its log, where L1 has no room for what is to be stored, and where the device has none
DROPPED = re.compile("Failed to batched allocate|Store task .* failed")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Memory(NamedTuple):
    """keeps: bytes past which it evicts; under_way: what is there beside them, for stores and loads
    that it waits for."""

    keeps: int
    under_way: int

    @property
    def size(self):
        return self.keeps + self.under_way

    def watermark(self):
        return round(self.keeps / self.size, 3)


class LmcacheServer:
    """l1: its own Memory. dax: Memory of a `dax` device below it, a file in /dev/shm with slots of
    chunk_bytes, and then L1 gives up what is in it; None: there is none. Raises FileNotFoundError
    where LMCache's environment is not."""

    def __init__(self, name, l1, dax=None, chunk_bytes=0):
        program = ENV / "bin/lmcache"
        if not program.exists():
            raise FileNotFoundError(f"{ENV}: run `tests/engines/lmcache/run --make` first")
        self.port = free_port()
        self.log = engines.ROOM / f"lmcache-{name}.log"
        self._device = None
        command = [str(program), "server", "--host", "127.0.0.1", "--port", str(self.port),
                   "--http-port", str(free_port()), "--prometheus-port", str(free_port()),
                   "--chunk-size", str(engines.BLOCK), "--l1-size-gb", f"{l1.size / 2**30:.6f}",
                   "--no-l1-use-lazy", "--eviction-policy", "LRU",
                   "--eviction-trigger-watermark", str(l1.watermark()),
                   "--supported-transfer-mode", "engine_driven"]
        if dax:
            self._device = pathlib.Path(f"/dev/shm/speckv-bench-dax-{os.getpid()}-{self.port}")
            with open(self._device, "wb") as file:
                file.truncate(dax.size)
            below = {"type": "dax", "device_path": str(self._device), "slot_bytes": chunk_bytes,
                     "max_dax_size_gb": dax.size / 2**30,
                     "eviction": {"eviction_policy": "LRU", "trigger_watermark": dax.watermark()}}
            command += ["--l2-adapter", json.dumps(below), "--l2-store-policy", "skip_l1"]
        own = {"LMCACHE_TRACK_USAGE": "false", "LMCACHE_DISABLE_BANNER": "1"}
        with open(self.log, "w", encoding="utf-8") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log,
                                             env={**engines.environment(), **own},
                                             start_new_session=True)
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self):
        until = time.monotonic() + START_S
        while "cache server is running" not in self.log.read_text(encoding="utf-8"):
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"LMCache's server did not start: see {self.log}")
            time.sleep(0.1)

    def options(self):
        """kv_connector_extra_config of LMCacheMPConnector."""
        return {"lmcache.mp.host": "tcp://127.0.0.1", "lmcache.mp.port": self.port,
                "lmcache.mp.mq_timeout": 60}

    def dropped(self):
        """How often it had no room for what was to be stored."""
        return len(DROPPED.findall(self.log.read_text(encoding="utf-8")))

    def close(self):
        engines.kill_session(self._process)
        if self._device:
            self._device.unlink()
