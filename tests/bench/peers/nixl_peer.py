# SPDX-License-Identifier: Apache-2.0
"""nixl_peer.py - NIXL's POSIX plug-in on a file of the same tmpfs, with prepared descriptor lists.
It has no keys and no index: who reads knows the offset."""

import os

import rig
from nixl_cu12._api import nixl_agent, nixl_agent_config


class Server(rig.Server):
    def __init__(self, folder, objects):
        self._path = self.where = str(folder) + "/nixl"
        with open(self._path, "wb") as file:
            file.truncate(objects.size * objects.count)

    def held_bytes(self):
        return os.stat(self._path).st_blocks * 512

    def close(self):
        os.unlink(self._path)


class Contender(rig.Contender):
    def __init__(self, objects, where):
        super().__init__(objects, where)
        size, count = objects.size, objects.count
        self._file = os.open(where, os.O_RDWR)
        name = f"peer-{os.getpid()}"
        agent = self._agent = nixl_agent(name, nixl_agent_config(backends=[]))
        agent.create_backend("POSIX", {"use_aio": "true"})
        self._registered = [agent.register_memory([(0, size * count, self._file, "")], "FILE")]
        file = [(i * size, size, self._file) for i in range(count)]
        self._lists = [agent.prep_xfer_dlist(name, file, "FILE")]
        for array in (self.source, self.places):
            first = rig.address(array)
            self._registered.append(
                agent.register_memory([(first, size * count, 0, "")], "DRAM"))
            self._lists.append(agent.prep_xfer_dlist(
                "NIXL_INIT_AGENT", [(first + i * size, size, 0) for i in range(count)], "DRAM"))

    def put_batch(self, numbers):
        self._move("WRITE", self._lists[1], numbers, numbers)

    def get_batch(self, numbers, places):
        self._move("READ", self._lists[2], places, numbers)

    def _move(self, operation, memory, here, there):
        agent = self._agent
        handle = agent.make_prepped_xfer(operation, memory, here, self._lists[0], there)
        state = agent.transfer(handle)
        while state == "PROC":
            state = agent.check_xfer_state(handle)
        agent.release_xfer_handle(handle)
        if state != "DONE":
            raise RuntimeError(f"a transfer ended as {state}")

    def close(self):
        for each in self._lists:
            self._agent.release_dlist_handle(each)
        for each in self._registered:
            self._agent.deregister_memory(each)
        os.close(self._file)
