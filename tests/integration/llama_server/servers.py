# SPDX-License-Identifier: Apache-2.0
"""servers.py - a daemon and stock llama-servers over HTTP, for this folder's tests.

Each test is started with ENGINE SPECKVD LIBRARY HELPER, the last being a library or program of its
own, and calls run_test(), which ends every process that is left and fails when a check() did."""
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ENGINE, SPECKVD, LIBRARY, HELPER = (pathlib.Path(word).resolve() for word in sys.argv[1:])
ANSWER = 16
START_SECONDS = 120  # only a bound: a machine under load takes long to load a model
MODEL = ENGINE / "models/smollm2-135m-q4_0.gguf"
TEXT = (ENGINE / "texts" / "docs-build.md").read_text()
FLAGS = ["-np", "2", "-c", "4096", "-sps", "0", "--no-kv-unified"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    started = []

    def __init__(self, words, log, **environment):
        Process.started.append(self)
        self.log_path = log
        self.log_file = open(log, "wb")
        self.process = subprocess.Popen(
            [str(word) for word in words],
            stdout=self.log_file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )

    def log(self):
        return pathlib.Path(self.log_path).read_text(errors="replace")

    def stop(self, how="terminate"):
        getattr(self.process, how)()
        self.process.wait()
        self.log_file.close()


class Daemon(Process):
    """pool: its size. more: lines of its namespace."""

    def __init__(self, folder, pool="192MiB", more=""):
        self.socket = str(folder / "speckvd.sock")
        pathlib.Path(self.socket).unlink(missing_ok=True)  # of one that was killed
        config = folder / "speckvd.toml"
        config.write_text(
            f'[daemon]\nsocket = "{self.socket}"\nruntime_dir = "{folder}"\nmetrics = ""\n'
            f'[pool]\nmedium = "memfd"\nbytes = "{pool}"\n'
            f'[[namespace]]\nname = "default"\nbytes = "{pool}"\npreset = "exact"\n{more}'
        )
        super().__init__([SPECKVD, "--config", config], folder / "speckvd.log")
        wait_for(lambda: os.path.exists(self.socket), self, "the daemon's socket")


class Server(Process):
    count = 0

    def __init__(self, folder, *flags, preload=(), model=MODEL, is_awaited=True,
                 program=ENGINE / "bin/llama-server", **environment):
        Server.count += 1
        self.port = free_port()
        words = [program, "-m", model, "--port", self.port]
        words += ["--host", "127.0.0.1", "-t", 1, "--no-warmup", *flags]
        environment["SPECKV_DIGEST_CACHE"] = str(folder / "digests")
        if preload:
            environment["LD_PRELOAD"] = ":".join(str(path) for path in preload)
        super().__init__(words, folder / f"server{Server.count}.log", **environment)
        if is_awaited:
            wait_for(self.is_ready, self, "the server's /health")

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def is_ready(self):
        try:
            with urllib.request.urlopen(self.url("/health"), timeout=5) as reply:
                return reply.status == 200
        except OSError:
            return False

    def ask(self, path, asked):
        request = urllib.request.Request(
            self.url(path), json.dumps(asked).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=300) as reply:
            return json.load(reply)

    def ids(self, text):
        return self.ask("/tokenize", {"content": text, "add_special": True})["tokens"]

    def answer(self, prompt, count=ANSWER, **more):
        """prompt: a text or token ids. Returns: the answer's tokens, and how many of the prompt's
        the server had already."""
        asked = {
            **more,
            "prompt": prompt,
            "n_predict": count,
            "temperature": 0,
            "ignore_eos": True,
            "return_tokens": True,
            "cache_prompt": True,
        }
        try:
            told = self.ask("/completion", asked)
        except urllib.error.HTTPError as error:
            return f"HTTP {error.code}", 0
        return told["tokens"], told["timings"]["cache_n"]

    def split(self, prompt, reused):
        """Returns: the answer's tokens when so many of the prompt's were computed before."""
        ids = self.ids(prompt) if isinstance(prompt, str) else prompt
        self.ask("/slots/0?action=erase", {})
        if reused:
            self.answer(ids[:reused], 0)
        answer, found = self.answer(prompt)
        return answer if found == reused else f"{found} tokens reused, not {reused}"

    def restored(self):
        """Returns: tokens of each restore, from the log."""
        return [int(n) for n in re.findall(r"speckv: slot \d+: (\d+) of \d+ prompt", self.log())]

    def saved(self):
        """Returns: blocks of each save, from the log."""
        return [int(n) for n in re.findall(r"speckv: slot \d+: (\d+) blocks saved", self.log())]


def wait_for(is_there, process, what):
    for _ in range(START_SECONDS * 10):
        if is_there():
            return
        if process.process.poll() is not None:
            break
        time.sleep(0.1)
    sys.exit(f"{what} did not come:\n{process.log()[-3000:]}")


failures = []


def check(good, what):
    print(("ok     " if good else "FAILED ") + what, flush=True)
    if not good:
        failures.append(what)


def run_test(main):
    with tempfile.TemporaryDirectory() as temporary:
        try:
            main(pathlib.Path(temporary))
        finally:
            for left in Process.started:
                left.stop("kill")
    if failures:
        sys.exit(f"{len(failures)} failed")
