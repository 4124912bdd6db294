# SPDX-License-Identifier: Apache-2.0
"""rig.py - what all contenders of `make bench-peers` share: the objects, where they are read to,
and what a contender is.

Objects are fp16 KV, [layer][K, V][token][head][128], normal values with a scale a channel; all of
them lie in one file of a tmpfs, and so do the places that they are read into. A contender gets both
as arrays [object, bytes], and may have others of its own kind of memory.
"""

import math
import os
import pathlib
import time

import numpy as np

# bytes of an object: (layers, heads, tokens, tokens of a page); 128 channels
SHAPES = {64 << 10: (8, 1, 16, 16), 256 << 10: (8, 2, 32, 32), 1 << 20: (8, 8, 32, 32),
          4 << 20: (8, 8, 128, 32)}
CHANNELS = 128
LOSS_MAX = 0.05  # squared error over energy that a preset which loses bits may have
CHECKED_LOSSY = 64  # objects of a slice whose values are compared where bits are lost


class Objects:
    """In two files of `folder`, so that every process has the same: source and places."""

    def __init__(self, folder, size, total):
        self.size, self.count = size, total // size
        self.shape = (self.count, size)
        self.paths = [pathlib.Path(folder) / name for name in ("source", "places")]

    def make(self, seed=1):
        layers, heads, tokens, _ = SHAPES[self.size]
        rng = np.random.default_rng(seed)
        scale = np.exp(0.6 * rng.standard_normal(CHANNELS)).astype(np.float32)
        source = np.memmap(self.paths[0], np.float16, "w+",
                           shape=(self.count, layers * 2 * tokens * heads, CHANNELS))
        rows = max(1, (1 << 20) // source[0].nbytes)
        for at in range(0, self.count, rows):
            part = source[at : at + rows]
            part[:] = rng.standard_normal(part.shape, np.float32) * scale
        np.memmap(self.paths[1], np.uint8, "w+", shape=self.shape)[:] = 0xFF

    def arrays(self):
        """(source, places), read-only and writable."""
        return (np.memmap(self.paths[0], np.uint8, "r", shape=self.shape),
                np.memmap(self.paths[1], np.uint8, "r+", shape=self.shape))


class Contender:
    """One client of a store, in a process of its own. The methods are timed one call at a time;
    each returns when what it did can be relied on: a put when the object can be read, a get when
    the bytes are in their place. Raises where it failed.

    loses: whether what comes back may differ a little. shared: whether two clients see the same
    objects."""

    loses, shared = False, True

    def __init__(self, objects, where):
        """where: what the Server of the same module gave."""
        self.objects = objects
        self.source, self.places = objects.arrays()

    def names(self, numbers):
        return [f"object-{self.objects.size}-{number}" for number in numbers]

    def put(self, number):
        self.put_batch([number])

    def get(self, number, place):
        self.get_batch([number], [place])

    def put_batch(self, numbers):
        raise NotImplementedError

    def get_batch(self, numbers, places):
        raise NotImplementedError

    def forget(self, numbers):
        """Before they are put again. Not timed."""

    def held_bytes(self):
        """Of memory, while all objects are stored; None: the Server knows."""
        return None

    def close(self):
        pass


class Server:
    """What runs beside the clients. pids: processes whose CPU time counts. where: a value for the
    clients, which can be pickled."""

    pids, where = (), None

    def __init__(self, folder, objects):
        pass

    def held_bytes(self):
        return None

    def close(self):
        pass


def address(array):
    return array.__array_interface__["data"][0]


def cpu_seconds_of(pids):
    """Of processes and all of their threads."""
    total = 0
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def wait_for(what, answers, process, seconds=30):
    """Until answers(); raises where the process ends or the time does."""
    until = time.monotonic() + seconds
    while not answers():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"{what} did not start")
        time.sleep(0.05)


def environment():
    """For peers' programs: nothing of them reports home."""
    return {**os.environ, "DO_NOT_TRACK": "1", "LMCACHE_TRACK_USAGE": "false",
            "NIXL_LOG_LEVEL": "WARN", "GLOG_minloglevel": "2"}


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * percent / 100))]
