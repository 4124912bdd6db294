# SPDX-License-Identifier: Apache-2.0
"""engines.py - starts engine.py as a process for a test, and makes prompts.

Prompts are random token ids: on easy text every engine gives one answer, and a comparison proves
nothing. They end a few tokens after a block's end, so that a hit leaves little to compute.
"""

import multiprocessing.connection
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
ROOM = ROOT / "build/engines/vllm"
sys.path.insert(0, str(ROOT / "tests/python"))

BLOCK = 128  # tokens
BLOCKS_FEW = 14  # of the engine's own KV cache: less than the prompts of a round have
CONNECTED_S = 60  # a bound alone: a busy machine takes long over an arena
ANSWER_S = 400  # until an engine that says nothing counts as hung


def prompts(count, blocks=4, seed=1):
    chosen = random.Random(seed)
    return [[chosen.randrange(1000, 49000) for _ in range(blocks * BLOCK + 9)]
            for _ in range(count)]


def environment():
    """Of a process of vLLM's: one compute thread, nothing asked of the network."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1",
            "VLLM_SERVER_DEV_MODE": "1", "PYTHONPATH": str(HERE)}


def apart_in_shm(command):
    """The command with a /dev/shm of its own, if this process may give it one: what a killed vLLM
    leaves there (its channels, its semaphores, its CPU tier) goes with it."""
    if os.geteuid() != 0:
        return command
    return ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs shm /dev/shm && exec "$@"', "sh",
            *command]


def kill_session(process):
    """A process that began a session of its own, and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)  # the engine core and its workers
    except ProcessLookupError:
        pass
    process.wait()


class Engine:
    """One engine. server: a daemon.Daemon that it uses, None: without connector. options: what
    kv_connector_extra_config is, instead of the server's socket alone. apart: in three processes,
    as `vllm serve` has it; else in one, which starts faster. own_shm: apart_in_shm(). path: of
    engine.py. The rest: arguments of vllm.LLM."""

    def __init__(self, name, server=None, options=None,
                 connector=("speckv_vllm", "SpeckvConnector"), apart=False, own_shm=True, path=(),
                 **arguments):
        facts = {"model": str(ROOM / "model"), "dtype": "bfloat16", "enforce_eager": True,
                 "gpu_memory_utilization": 0.2, "max_model_len": 1024,
                 "num_gpu_blocks_override": 100, "disable_log_stats": False, "seed": 1,
                 **arguments}
        if not apart:
            facts["distributed_executor_backend"] = "uni"
        if server:
            module, kind = connector
            facts["kv_transfer_config"] = {
                "kv_connector": kind, "kv_connector_module_path": module, "kv_role": "kv_both",
                "kv_load_failure_policy": "recompute",
                "kv_connector_extra_config": options or {"socket": server.socket,
                                                         "timeout": CONNECTED_S}}
        ours, theirs = socket.socketpair()
        self.log = ROOM / f"engine-{name}.log"
        own = {"VLLM_ENABLE_V1_MULTIPROCESSING": str(int(apart))}
        command = [sys.executable, str(HERE / "engine.py"), str(theirs.fileno()), *path]
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                apart_in_shm(command) if own_shm else command,
                pass_fds=[theirs.fileno()], stdout=log, stderr=log,
                env={**environment(), **own}, start_new_session=True)
        theirs.close()
        self.peer = multiprocessing.connection.Connection(ours.detach())
        try:
            self.peer.send(facts)
            self._answer()
        except BaseException:
            self.close()
            raise

    def __getattr__(self, name):
        def call(*values, **arguments):
            if values:
                arguments["prompts"] = values[0]
            self.peer.send((name, arguments))
            return self._answer()

        return call

    def _answer(self):
        if not self.peer.poll(ANSWER_S):
            raise TimeoutError(f"the engine hangs: see {self.log}")
        try:
            good, value = self.peer.recv()
        except (EOFError, ConnectionError):
            raise RuntimeError(f"the engine ended: see {self.log}") from None
        if not good:
            raise RuntimeError(value)
        return value

    def said(self):
        return self.log.read_text(encoding="utf-8")

    def close(self):
        self.peer.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            pass
        kill_session(self.process)
