# SPDX-License-Identifier: Apache-2.0
"""daemon.py - a real speckvd of build/release in a folder of its own, for one test class."""

import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_S = 120  # a bound alone: a busy machine takes long
SPECKVD = os.environ.get("SPECKVD", str(ROOT / "build/release/bin/speckvd"))


def _dies_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def tier_parent():
    """Where a tier's file lies: in memory where that can be read around the page cache, so that a
    busy disk makes no test red; tests/integration/tier_folder.hpp says more."""
    if disk := os.environ.get("SPECKV_TEST_DISK"):
        return disk
    try:
        with tempfile.NamedTemporaryFile(dir="/dev/shm") as tried:
            os.close(os.open(tried.name, os.O_RDWR | os.O_DIRECT))
    except OSError:
        return "/var/tmp"
    return "/dev/shm"


class Daemon:
    """spill: bytes of a tier below the pool, None: there is none. tables: a folder of *.chan."""

    def __init__(self, pool="64MiB", preset="exact", spill=None, tables=None):
        parent = tier_parent() if spill else None
        self.folder = tempfile.mkdtemp(prefix="speckv-python-", dir=parent)
        below = ""
        if spill:  # and nothing comes up that no test has asked for
            below = (f'spill_path = "{self.folder}/spill"\nspill_bytes = "{spill}"\n'
                     'speculation = false\n')
        known = f'tables = "{tables}"\n' if tables else ""
        self.socket = self.folder + "/s"
        self.config = self.folder + "/speckvd.toml"
        pathlib.Path(self.config).write_text(
            f'[daemon]\nsocket = "{self.socket}"\nruntime_dir = "{self.folder}"\nmetrics = ""\n'
            f'data_threads = 1\n{known}[pool]\nmedium = "shm"\n[[namespace]]\nname = "default"\n'
            f'bytes = "{pool}"\nindex_entries = 16384\npreset = "{preset}"\n{below}')
        self.process = None
        self.start()

    def start(self):
        with open(self.folder + "/log", "a", encoding="utf-8") as log:
            self.process = subprocess.Popen([SPECKVD, "--config", self.config], stdout=log,
                                            stderr=log, preexec_fn=_dies_with_parent)
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("speckvd did not start: " + self.log())
            time.sleep(0.02)

    def _answers(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            return probe.connect_ex(self.socket) == 0

    def log(self):
        return pathlib.Path(self.folder + "/log").read_text(encoding="utf-8")

    def pause(self):
        """Returns when every thread of it stands still: the signal alone does not wait for that."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.process.terminate()
        self.process.wait()
        subprocess.run(["umount", "-l", self.folder + "/pool"], stderr=subprocess.DEVNULL,
                       check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
