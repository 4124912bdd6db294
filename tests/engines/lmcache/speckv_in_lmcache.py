# SPDX-License-Identifier: Apache-2.0
"""speckv_in_lmcache: a pytest plugin that puts SpeckvClient in the place of LMCache's own clients.

LMCache's suite of native connectors makes a `MockNativeConnector` for each test, which keeps its
objects in a dict; its RESP suite makes a client of a Redis server. This plugin gives both classes a
SpeckvClient on a real speckvd, with a variant of its own for each instance, as each of them begins
empty. Classes that derive from the mock keep what they add. Nothing of LMCache's changes on disk.
The run's last line says how many clients were made, so that a run without any can be told.
"""

import itertools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))

import daemon

import speckv_lmcache

CALLS = ["event_fd", "submit_batch_get", "submit_batch_set", "submit_batch_exists",
         "submit_batch_delete", "drain_completions", "close"]
_numbers = itertools.count()
_made = []
_server = None


def pytest_configure(config):
    global _server
    _server = daemon.Daemon()
    config.add_cleanup(_server.close)


def pytest_collection_modifyitems(items):
    for module in {item.module for item in items}:
        if mock := getattr(module, "MockNativeConnector", None):
            _give_methods(mock)
        if hasattr(module, "flush_redis"):
            _replace_redis(module)
    for item in items:
        if hasattr(item.module, "flush_redis"):  # no Redis is no reason to skip
            for node in item.listchain():
                node.own_markers = [mark for mark in node.own_markers if mark.name != "skipif"]


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"speckv clients made: {len(_made)}")


def _client(*_arguments, **_names):
    _made.append(next(_numbers))
    return speckv_lmcache.SpeckvClient(socket=_server.socket, variant=str(_made[-1]))


def _give_methods(mock):
    def __init__(self):
        self._speckv = _client()

    mock.__init__ = __init__
    for name in CALLS:
        setattr(mock, name, _delegate(name))


def _delegate(name):
    return lambda self, *arguments: getattr(self._speckv, name)(*arguments)


def _replace_redis(module):
    from lmcache import lmcache_redis

    lmcache_redis.LMCacheRedisClient = _client
    module.flush_redis = lambda: None
