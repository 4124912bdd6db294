# SPDX-License-Identifier: Apache-2.0
"""main.py - `make bench-peers`: speckv and other stores of KV, the same objects, the same calls.

Contenders take turns, slice by slice, in an order that is turned and reversed between repeats; each
number is the median over repeats. One object a call for p50 and p99, 32 a call for GB/s; one client
and two. overhead = p50 - memcpy's p50 of the same size, clients and call. Every get is compared.
Prints a table a size; rows named peers/... go to --out, beside what is there of others. What could
not run here is said in the last lines, and so is what the contenders do not have in common.
"""

import argparse
import contextlib
import dataclasses
import importlib
import json
import multiprocessing
import os
import pathlib
import statistics
import sys
import tempfile

import rig
import worker

CONTENDERS = {  # name: module, prefix of its classes
    "memcpy": ("memcpy", ""),
    "speckv exact": ("ours", ""),
    "speckv near-lossless": ("ours", "Near"),
    "speckv compact": ("ours", "Compact"),
    "Redis": ("redis_peer", ""),
    "Mooncake, own segment": ("mooncake_peer", ""),
    "Mooncake, apart": ("mooncake_peer", "Apart"),
    "LMCache dax": ("lmcache_peer", ""),
    "NIXL POSIX": ("nixl_peer", ""),
}
SLICES = ("put", "get", "put batch", "get batch")
ANSWER_S = 600
GOAL = 0.2  # of the best peer's overhead

NOT_ALIKE = """\
Not alike: speckv alone compares a checksum, key and layout in every get, and compresses in two of
its rows; its puts are copied twice (arena, pool). LMCache's index, and the segment of `Mooncake,
own segment`, are in the caller's process and end with it; LMCache's look-up and lock before each
load is not in its times. NIXL has no keys. `Mooncake, apart` wants the caller's buffers in its own
pool. MiB are of the store alone: pool slabs and index of speckv, used_memory of Redis, the file of
LMCache and NIXL; Mooncake's segment is fixed, memcpy's memory too: neither is counted."""


@dataclasses.dataclass
class Result:
    """Of one contender at one size with so many clients; a list has one value a repeat."""

    p50: dict = dataclasses.field(default_factory=dict)  # by slice
    p99: dict = dataclasses.field(default_factory=dict)
    rate: dict = dataclasses.field(default_factory=dict)  # GB/s
    client_cpu: dict = dataclasses.field(default_factory=dict)  # seconds a GB
    server_cpu: dict = dataclasses.field(default_factory=dict)
    held: int | None = None
    wrong: int = 0

    def add(self, what, answers, server_cpu):
        calls = [second for answer in answers for second in answer["seconds"]]
        gigabytes = sum(answer["bytes"] for answer in answers) / 1e9
        wall = max(a["ended"] for a in answers) - min(a["began"] for a in answers)
        for table, value in ((self.p50, statistics.median(calls)),
                             (self.p99, rig.percentile(calls, 99)),
                             (self.rate, gigabytes / wall),
                             (self.client_cpu, sum(a["cpu"] for a in answers) / gigabytes),
                             (self.server_cpu, server_cpu / gigabytes)):
            table.setdefault(what, []).append(value)
        self.wrong += sum(answer["wrong"] for answer in answers)


class Running:
    """A contender's server and its clients."""

    def __init__(self, name, objects, clients, folder):
        module, prefix = CONTENDERS[name]
        self.result = Result()
        self._workers = []
        self._server = None
        try:
            self._server = getattr(importlib.import_module(module), prefix + "Server")(
                folder, objects)
            context = multiprocessing.get_context("spawn")
            for number in range(clients):
                ours, theirs = context.Pipe()
                process = context.Process(target=worker.run, daemon=True, args=(
                    theirs, module, prefix + "Contender", objects, self._server.where, number,
                    clients))
                process.start()
                theirs.close()
                self._workers.append((process, ours))
            self.ask("open")
        except BaseException:
            self.close()
            raise

    def ask(self, *what):
        """All clients at once. Returns their answers; raises where one failed."""
        for _, pipe in self._workers:
            pipe.send(what)
        answers = []
        for process, pipe in self._workers:
            if not pipe.poll(ANSWER_S):
                raise RuntimeError("a client hangs")
            try:
                answers.append(pipe.recv())
            except EOFError:
                raise RuntimeError(f"a client died ({process.exitcode})") from None
        for good, value in answers:
            if not good:
                raise RuntimeError(value)
        return [value for _, value in answers]

    def turn(self, seed):
        for what in SLICES:
            before = rig.cpu_seconds_of(self._server.pids)
            answers = self.ask("slice", what, seed)
            self.result.add(what, answers, rig.cpu_seconds_of(self._server.pids) - before)
        if self.result.held is None:
            held = [each for each in self.ask("held_bytes") if each is not None]
            self.result.held = sum(held) if held else self._server.held_bytes()

    def close(self):
        """A second time: nothing."""
        with contextlib.suppress(Exception):
            self.ask("close")
        for process, pipe in self._workers:
            pipe.close()
            process.join(10)
            process.kill()
        self._workers.clear()
        if self._server:
            self._server.close()
        self._server = None


def measure(size, total, clients, names, repeats, left_out):
    """Returns: Results by contender."""
    results = {}
    with tempfile.TemporaryDirectory(prefix="speckv-peers-", dir="/dev/shm") as folder, \
            contextlib.ExitStack() as close:
        objects = rig.Objects(folder, size, total)
        objects.make()
        running = {}
        for name in names:
            own = pathlib.Path(folder) / str(len(running))
            own.mkdir()
            try:
                running[name] = Running(name, objects, clients, own)
                close.callback(running[name].close)
            except Exception as error:
                left_out.setdefault(name, f"{type(error).__name__}: {error}")
        for repeat in range(-1, repeats):  # the first one touches pages, and does not count
            order = list(running)
            order = order[repeat % len(order):] + order[: repeat % len(order)]
            for name in order[:: -1 if repeat % 2 else 1]:
                try:
                    running[name].turn(repeat + 1)
                except Exception as error:
                    left_out.setdefault(name, f"{size_text(size)}, {clients} clients: {error}")
                    running.pop(name).close()
            print(f"bench-peers: {size_text(size)}, {clients} clients, repeat {repeat + 1} of "
                  f"{repeats}", file=sys.stderr, flush=True)
            if repeat < 0:
                for each in running.values():
                    each.result = Result(wrong=each.result.wrong)
        for name, each in running.items():
            results[name] = each.result
    return results


def size_text(size):
    return f"{size >> 20}MiB" if size >= 1 << 20 else f"{size >> 10}KiB"


def overheads(results, what):
    """Seconds over memcpy by contender, of the medians."""
    middle = {name: statistics.median(each.p50[what]) for name, each in results.items()}
    return {name: value - middle["memcpy"] for name, value in middle.items() if name != "memcpy"}


def table(size, total, clients, results):
    print(f"\n{size_text(size)} objects, {total >> 20} MiB of them, {clients} client"
          f"{'s' * (clients > 1)}, called from Python; µs")
    print(f"{'':22} {'get p50/p99':>15} {'over':>6} {'put p50/p99':>15} {'over':>6}   GB/s of 32: "
          f"{'get':>5} {'put':>6}   CPU s/GB (client+server): {'get':>11} {'put':>12} {'MiB':>5} "
          "wrong")
    over = {what: overheads(results, what) for what in ("get", "put")}
    for name, each in results.items():
        def middle(rows, what):
            return statistics.median(rows[what])

        def times(what):
            pair = f"{middle(each.p50, what) * 1e6:.0f} / {middle(each.p99, what) * 1e6:.0f}"
            more = over[what].get(name)
            return f"{pair:>15} {'' if more is None else format(more * 1e6, '+.0f'):>6}"

        def cpu(what):
            return f"{middle(each.client_cpu, what):.3f}+{middle(each.server_cpu, what):.3f}"

        held = "-" if each.held is None else str(each.held >> 20)
        print(f"{name:22} {times('get')} {times('put')} {middle(each.rate, 'get batch'):>19.2f} "
              f"{middle(each.rate, 'put batch'):>6.2f} {cpu('get'):>39} {cpu('put'):>12} {held:>5} "
              f"{each.wrong:>5}")


def rows(size, clients, results, repeats):
    """As results.json has them (bench.hpp)."""
    made = []
    for what in ("get", "put"):
        over = overheads(results, what)
        peers = {name: value for name, value in over.items() if not name.startswith("speckv")}
        if not peers:
            continue
        best = min(peers, key=peers.get)
        for name, value in over.items():
            ours = name == "speckv exact" and what == "get" and size <= 1 << 20
            per_repeat = [a - b for a, b in zip(results[name].p50[what],
                                                results["memcpy"].p50[what])]
            spread = (max(per_repeat) - min(per_repeat)) / abs(value) if value else 0
            ratio = value / peers[best] if peers[best] > 0 else None
            made.append({
                "name": f"peers/{size_text(size)}/{clients}/{what}/{name}", "value": value * 1e9,
                "unit": "ns", "against": best,
                "ratio": ratio, "goal": f"<= {GOAL}" if ours else "",
                "reached": ratio <= GOAL if ours and ratio is not None else None,
                "setting": f"p50 - memcpy's p50, {clients} clients, called from Python",
                "samples": repeats, "spread": spread})
    return made


def write(path, made):
    path.parent.mkdir(parents=True, exist_ok=True)
    there = json.loads(path.read_text()) if path.exists() else []
    kept = [row for row in there if not row["name"].startswith("peers/")]
    lines = ",\n ".join(json.dumps(row) for row in kept + made)
    path.write_text(f"[\n {lines}\n]\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=list(rig.SHAPES))
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--mib", type=int, default=256, help="of objects")
    parser.add_argument("--only", nargs="+", help="contenders, beside memcpy")
    parser.add_argument("--out", type=pathlib.Path, default="build/bench/results.json")
    arguments = parser.parse_args()
    names = [name for name in CONTENDERS
             if name == "memcpy" or not arguments.only
             or any(part in name for part in arguments.only)]
    made, left_out, wrong = [], {}, 0
    for size in arguments.sizes:
        for clients in arguments.clients:
            results = measure(size, arguments.mib << 20, clients, names, arguments.repeats,
                              left_out)
            table(size, arguments.mib << 20, clients, results)
            made += rows(size, clients, results, arguments.repeats)
            wrong += sum(each.wrong for each in results.values())
    write(arguments.out, made)
    print(f"\nload average {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs: above the number of "
          "clients, times are not of these stores alone")
    print(NOT_ALIKE)
    for name, why in left_out.items():
        print(f"left out: {name}: {why}")
    print(f"{wrong} objects came back wrong")
    return wrong > 0 or "speckv exact" in left_out


if __name__ == "__main__":
    sys.exit(main())
