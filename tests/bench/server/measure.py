# SPDX-License-Identifier: Apache-2.0
"""measure.py - one arm, once: its server (and daemon) started, documents loaded, the workload, then
for some arms prompts with nothing to reuse and a second server on the same pool. Returns a Run;
prints nothing but progress, on stderr."""

import dataclasses
import sys
import time

import client
from processes import Daemon, LlamaServer


@dataclasses.dataclass
class Run:
    """Seconds; CPU seconds of the server and of the daemon while the clock ran. fresh: seconds and
    CPU seconds of the prompts with nothing to reuse. second: reused tokens of each session's last
    prompt, in the first server and in a second one on the same pool."""

    samples: list
    seconds: float
    server_cpu: float
    daemon_cpu: float
    status: dict
    daemon: dict
    fresh: tuple = None
    second: tuple = None


class Place:
    """Where everything is: engine/, the build's binaries, its library, the folder for logs."""

    def __init__(self, engine, build, out, tables):
        self.engine, self.build, self.out, self.tables = engine, build, out, tables

    def daemon(self, arm, load):
        return Daemon(self.build / "bin", self.out, load.pool_bytes(), arm.preset, self.tables)

    def server(self, arm, load, daemon, kind="", preload=()):
        environment = {"SPECKV_DIGEST_CACHE": str(self.out / "digests")}
        if daemon:
            libraries = [*preload, self.build / "lib/libspeckv_llama_server.so"]
            environment["LD_PRELOAD"] = ":".join(str(library) for library in libraries)
            environment["SPECKV_SOCKET"] = daemon.socket
        log = self.out / f"server-{arm.name.replace(' ', '-')}{kind}.log"
        return LlamaServer(self.engine, load.model, log, arm.server_flags(load), **environment)


class Progress:
    def __init__(self, words, total):
        self.words, self.total, self.done, self.begin = words, total, 0, time.monotonic()
        self.say("documents")

    def say(self, what):
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{self.words}: {what}")
            sys.stderr.flush()

    def on_sample(self, _):
        self.done += 1
        self.say(f"{self.done}/{self.total} requests")

    def end(self, rate):
        sys.stderr.write(f"{chr(13)}\x1b[K" if sys.stderr.isatty() else "")
        took = time.monotonic() - self.begin
        print(f"{self.words}: {rate:.3f} requests/s, {took:.0f} s in all", file=sys.stderr)


def cpu(process):
    return process.cpu_seconds() if process else 0.0


def run_arm(arm, load, place, words, with_fresh=False, with_second=False):
    progress = Progress(words, len(load.turns))
    daemon = place.daemon(arm, load) if arm.preset else None
    server = place.server(arm, load, daemon)
    if arm.loads:
        client.load_documents(load, server.port, arm.more_of)
    before = cpu(server), cpu(daemon)
    samples, seconds = client.run_turns(load, server.port, arm.more_of, progress.on_sample)
    run = Run(samples, seconds, cpu(server) - before[0], cpu(daemon) - before[1], {}, {})
    if daemon:
        run.status, run.daemon = daemon.status()
    if with_second:
        run.second = second_server(arm, load, place, daemon, samples)
    if with_fresh:
        run.fresh = fresh_prompts(arm, load, server, daemon)
    server.stop()
    if daemon:
        daemon.stop()
    progress.end(len(samples) / seconds)
    return run


def fresh_prompts(arm, load, server, daemon):
    before, begin = cpu(server) + cpu(daemon), time.monotonic()
    client.in_parallel(
        load.in_flight,
        load.fresh,
        lambda prompt: client.ask(server.port, prompt, load.answer_tokens, **arm.more_of(0)),
    )
    return time.monotonic() - begin, cpu(server) + cpu(daemon) - before


def second_server(arm, load, place, daemon, samples):
    """Asks another server process what the first was asked last, one prompt a session."""
    last = sorted((s for s in samples if s.round == load.rounds - 1), key=lambda s: s.session)
    other = place.server(arm, load, daemon, kind="-second")
    again = [client.ask(other.port, s.prompt, 1, **arm.more_of(s.session)) for s in last]
    other.stop()
    return [s.reused for s in last], [s.reused for s in again]
