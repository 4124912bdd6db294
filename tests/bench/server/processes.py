# SPDX-License-Identifier: Apache-2.0
"""processes.py - a daemon and a stock llama-server of the bench's own, pinned to processors, and
the CPU time that each has used. What is started here is ended by stop_all()."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request

START_SECONDS = 180  # only a bound
TICK = os.sysconf("SC_CLK_TCK")

started = []


def processors():
    """Returns: those of the engine, those of everything else. The engine's threads wait for each
    other by spinning, so that nothing else may run where they do."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) == 1:
        return usable, usable
    engine = usable[: min(4, len(usable) - 1)]
    return engine, [number for number in usable if number not in engine]


class Process:
    def __init__(self, words, log, cores, **environment):
        started.append(self)
        self.log_path = pathlib.Path(log)
        if self.log_path.exists():  # an earlier repeat's: what is odd there can be looked at
            self.log_path.rename(f"{log}.before")
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                [str(word) for word in words],
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / TICK

    def wait_for(self, is_there, what):
        for _ in range(START_SECONDS * 10):
            if is_there():
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        sys.exit(
            f"{what} did not come; {self.log_path} ends:\n"
            + self.log_path.read_text(errors="replace")[-2000:]
        )

    def stop(self):
        if self in started:
            started.remove(self)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Daemon(Process):
    """One namespace, `default`, of these bytes and this preset; its pool is empty at the start and
    gone at the end. more: lines of the namespace."""

    def __init__(self, binaries, folder, pool_bytes, preset, tables, more=""):
        self.ctl = binaries / "speckvctl"
        self.folder = folder
        self.socket = str(folder / "speckvd.sock")
        self.drop_pool()
        config = folder / "speckvd.toml"
        config.write_text(
            f'[daemon]\nsocket = "{self.socket}"\nruntime_dir = "{folder}"\nmetrics = ""\n'
            f'log_level = "warn"\ntables = "{tables}"\n\n'
            f'[pool]\nmedium = "shm"\nbytes = {pool_bytes}\n\n'
            f'[[namespace]]\nname = "default"\nbytes = {pool_bytes}\npreset = "{preset}"\n{more}'
        )
        words = [binaries / "speckvd", "--config", config]
        super().__init__(words, folder / f"speckvd-{preset}.log", processors()[1])
        self.wait_for(lambda: os.path.exists(self.socket), "the daemon's socket")

    def drop_pool(self):
        """The pool's own mount, where the daemon could make one, and its files otherwise."""
        subprocess.run(["umount", "-l", self.folder / "pool"], stderr=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", self.folder / "pool", self.socket], check=True)

    def status(self):
        """Returns: the namespace's part of `speckvctl status`, and the daemon's."""
        words = [self.ctl, "--socket", self.socket, "status", "--json"]
        told = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
        return told["namespaces"][0], told["daemon"]

    def stop(self):
        super().stop()
        self.drop_pool()


class LlamaServer(Process):
    def __init__(self, engine, model, log, flags, **environment):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        cores = processors()[0]
        words = [engine / "bin/llama-server", "-m", engine / "models" / model, "--host"]
        words += ["127.0.0.1", "--port", self.port, "-t", len(cores), "--no-warmup", *flags]
        super().__init__(words, log, cores, **environment)
        self.wait_for(self.is_ready, "the server's /health")

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as told:
                return told.status == 200
        except OSError:
            return False

    def ask(self, path, asked):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            json.dumps(asked).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=600) as told:
            return json.load(told)

    def tokenize(self, text, is_first):
        return self.ask("/tokenize", {"content": text, "add_special": is_first})["tokens"]


def stop_all():
    for left in list(started)[::-1]:
        left.stop()
