# SPDX-License-Identifier: Apache-2.0
"""redis_peer.py - Redis on a unix socket, by redis-py with hiredis as its parser. A get ends when
the bytes are in the caller's place: one copy after the reply."""

import pathlib
import shutil
import subprocess

import numpy as np
import redis
import rig


class Server(rig.Server):
    def __init__(self, folder, objects):
        program = shutil.which("redis-server")
        if not program:
            raise RuntimeError("redis-server is not installed (tools/deps/bench.txt)")
        self.where = str(pathlib.Path(folder) / "redis.sock")
        self._process = subprocess.Popen(
            [program, "--port", "0", "--unixsocket", self.where, "--save", "", "--appendonly", "no",
             "--dir", str(folder)], stdout=subprocess.DEVNULL)
        self.pids = (self._process.pid,)
        rig.wait_for("redis-server", pathlib.Path(self.where).exists, self._process)

    def held_bytes(self):
        with redis.Redis(unix_socket_path=self.where) as client:
            return client.info("memory")["used_memory"]

    def close(self):
        self._process.kill()
        self._process.wait()


class Contender(rig.Contender):
    def __init__(self, objects, where):
        super().__init__(objects, where)
        self._redis = redis.Redis(unix_socket_path=where)

    def put(self, number):
        self._redis.set(self.names([number])[0], self.source[number].data)

    def get(self, number, place):
        self.places[place] = np.frombuffer(self._redis.get(self.names([number])[0]), np.uint8)

    def put_batch(self, numbers):
        with self._redis.pipeline(transaction=False) as batch:
            for name, number in zip(self.names(numbers), numbers):
                batch.set(name, self.source[number].data)
            batch.execute()

    def get_batch(self, numbers, places):
        for value, place in zip(self._redis.mget(self.names(numbers)), places):
            self.places[place] = np.frombuffer(value, np.uint8)

    def forget(self, numbers):
        self._redis.delete(*self.names(numbers))

    def close(self):
        self._redis.close()
