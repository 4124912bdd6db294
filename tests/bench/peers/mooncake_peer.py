# SPDX-License-Identifier: Apache-2.0
"""mooncake_peer.py - Mooncake Store. Two arrangements: `own`, where the memory is a segment of the
caller's process (beside Mooncake's master), and `apart`, where a process of Mooncake's holds it and
the caller is a client over shared memory, which is the arrangement that speckv has."""

import ctypes
import pathlib
import socket
import subprocess

import mooncake.store
import numpy as np
import rig

PROGRAMS = pathlib.Path(mooncake.store.__file__).parent
LEASE_MS = 200  # not 10 s: keys are deleted between repeats
BUFFER = 64 << 20


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def checked(results):
    """Of one call or a batch: bytes, or 0, or a negative errno."""
    for result in [results] if isinstance(results, int) else results:
        if result < 0:
            raise RuntimeError(f"Mooncake: {result}")


class Server(rig.Server):
    apart = False

    def __init__(self, folder, objects):
        self._processes = []
        # its allocator wants slack
        self._segment = objects.size * objects.count * 5 // 4 + (128 << 20)
        port = free_port()
        self._start("master", port, f"--rpc_port={port}", "--rpc_address=127.0.0.1",
                    f"--metrics_port={free_port()}", f"--default_kv_lease_ttl={LEASE_MS}")
        self.where = {"master": f"127.0.0.1:{port}", "segment": self._segment}
        if self.apart:
            port = self.where["client"] = free_port()
            self._start("client", port, "--host=127.0.0.1", f"--port={port}",
                        f"--global_segment_size={self._segment}", f"--local_buffer_size={BUFFER}",
                        f"--master_server_address={self.where['master']}",
                        "--metadata_server=P2PHANDSHAKE", "--protocol=tcp")
        self.pids = tuple(process.pid for process in self._processes)

    def _start(self, name, port, *arguments):
        process = subprocess.Popen([str(PROGRAMS / f"mooncake_{name}"), *arguments],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=rig.environment())
        self._processes.append(process)
        rig.wait_for(f"mooncake_{name}", lambda: listens(port), process)

    def close(self):
        for process in reversed(self._processes):
            process.kill()
            process.wait()


class Contender(rig.Contender):
    def __init__(self, objects, where):
        super().__init__(objects, where)
        self._store = mooncake.store.MooncakeDistributedStore()
        self._connect(where)

    def _connect(self, where):
        checked(self._store.setup(f"127.0.0.1:{free_port()}", "P2PHANDSHAKE", where["segment"],
                                  BUFFER, "tcp", "", where["master"]))
        # registering wants memory that may be written
        self.source = np.array(self.source)
        for array in (self.source, self.places):
            checked(self._store.register_buffer(rig.address(array), array.nbytes))

    def _addresses(self, array, rows):
        first, size = rig.address(array), self.objects.size
        return [int(first + row * size) for row in rows]

    def put(self, number):
        checked(self._store.put_from(self.names([number])[0],
                                     self._addresses(self.source, [number])[0], self.objects.size))

    def get(self, number, place):
        checked(self._store.get_into(self.names([number])[0],
                                     self._addresses(self.places, [place])[0], self.objects.size))

    def put_batch(self, numbers):
        checked(self._store.batch_put_from(self.names(numbers),
                                           self._addresses(self.source, numbers),
                                           [self.objects.size] * len(numbers)))

    def get_batch(self, numbers, places):
        checked(self._store.batch_get_into(self.names(numbers),
                                           self._addresses(self.places, places),
                                           [self.objects.size] * len(numbers)))

    def forget(self, numbers):
        for name in self.names(numbers):
            self._store.remove(name, True)

    def held_bytes(self):
        return None  # it says none: its segment was given to it whole

    def close(self):
        self._store.close()


class ApartServer(Server):
    apart = True


class ApartContender(Contender):
    """Source and places lie in the pool that it shares with Mooncake's process, as it demands."""

    def _connect(self, where):
        total = self.objects.size * self.objects.count
        checked(self._store.setup_dummy(2 * total + BUFFER, BUFFER,
                                        f"127.0.0.1:{where['client']}"))
        source = self.source
        self.source, self.places = (self._of_pool(total) for _ in range(2))
        self.source[:] = source

    def _of_pool(self, total):
        first = self._store.alloc_from_mem_pool(total)
        if not first:
            raise RuntimeError("Mooncake: its pool is too small")
        memory = (ctypes.c_uint8 * total).from_address(first)
        array = np.frombuffer(memory, np.uint8).reshape(self.objects.shape)
        checked(self._store.register_buffer(first, total))
        return array
