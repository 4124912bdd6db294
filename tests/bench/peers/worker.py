# SPDX-License-Identifier: Apache-2.0
"""worker.py - one client of a contender, as a process: told what to do over a pipe, one slice at a
time. A slice is one operation on each of its objects, in random order; what a get brought is
compared with the source after the slice, all of it."""

import importlib
import os
import time

import numpy as np
import rig

BATCH = 32  # objects of a call in the slices of batches


class Client:
    def __init__(self, module, kind, objects, where, number, clients):
        here = importlib.import_module(module)
        self._it = getattr(here, kind)(objects, where)
        self._objects = objects
        self._mine = np.arange(objects.count)[number::clients]
        self._stored = False

    def slice(self, what, seed):
        """what: "put", "get", "put batch", "get batch". Returns: dict(seconds: of each call,
        objects: of a call, began, ended, cpu, wrong)."""
        rng = np.random.default_rng(seed)
        order, places = (rng.permutation(self._mine) for _ in range(2))
        step = BATCH if what.endswith("batch") else 1
        if what.startswith("put"):
            if self._stored:
                self._it.forget(self._mine.tolist())
            self._stored = True
        else:
            self._it.places[self._mine] = 0xFF
        calls = self._calls(what, order.tolist(), places.tolist(), step)
        seconds, clock = [], time.perf_counter
        cpu, began = time.process_time(), time.monotonic()
        for call, arguments in calls:
            start = clock()
            call(*arguments)
            seconds.append(clock() - start)
        ended, cpu = time.monotonic(), time.process_time() - cpu
        wrong = 0 if what.startswith("put") else self._wrong(order, places)
        return {"seconds": seconds, "objects": step, "began": began, "ended": ended, "cpu": cpu,
                "bytes": len(order) * self._objects.size, "wrong": wrong}

    def _calls(self, what, order, places, step):
        it = self._it
        if step == 1:
            return ([(it.put, (i,)) for i in order] if what == "put"
                    else [(it.get, pair) for pair in zip(order, places)])
        parts = [slice(at, at + step) for at in range(0, len(order), step)]
        return ([(it.put_batch, (order[part],)) for part in parts] if what == "put batch"
                else [(it.get_batch, (order[part], places[part])) for part in parts])

    def _wrong(self, order, places):
        source, come = self._it.source, self._it.places
        if not self._it.loses:
            return sum(not np.array_equal(source[i], come[at]) for i, at in zip(order, places))
        wrong = 0
        for i, at in list(zip(order, places))[: rig.CHECKED_LOSSY]:
            right, got = (each.view(np.float16).astype(np.float32)
                          for each in (source[i], come[at]))
            loss = np.square(got - right).sum() / np.square(right).sum()
            wrong += not loss < rig.LOSS_MAX  # a NaN is wrong
        return wrong

    def held_bytes(self):
        return self._it.held_bytes()

    def close(self):
        self._it.close()


def run(pipe, *arguments):
    """The process's main function. Answers (True, value) or (False, why)."""
    os.environ.update(rig.environment())
    client = None
    while True:
        try:
            name, *values = pipe.recv()
        except EOFError:
            return
        try:
            if name == "open":
                client = Client(*arguments)
                value = None
            else:
                value = getattr(client, name)(*values)
            pipe.send((True, value))
        except Exception as error:
            pipe.send((False, f"{type(error).__name__}: {error}"))
        if name == "close":
            return
