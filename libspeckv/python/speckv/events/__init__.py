# SPDX-License-Identifier: Apache-2.0
"""speckv.events: tells routers which blocks the pool holds, in vLLM's KV events.

The pool knows blocks by its own keys; a router knows them by the engine's hashes and token ids.
Whoever stores a block tells here what the engine calls it; from then on the pool's changes
(speckv_changes(3)) become BlockStored and BlockRemoved.

    python -m speckv.events --endpoint tcp://*:5557 --replay tcp://*:5558 --tell ipc:///run/kv.tell
    speckv.events.Teller("ipc:///run/kv.tell").tell([Block(hash, parent, tokens, ids)])

or inside an engine that has a stream of KV events of its own:

    announcer = speckv.events.Announcer(session)
    announcer.tell([Block(...)])
    for event in announcer.poll(): ...          # Stored, Removed, Cleared

A block is announced while it and all blocks before it are in the pool: what stands behind a gap is
of no use to a router. docs/events.md is the manual. Needs pyzmq and msgspec, for the wire alone.
"""

from .announcer import Announcer
from .tree import Block, Cleared, Removed, Stored, Tree

__all__ = ["Announcer", "Block", "Cleared", "Publisher", "Removed", "Stored", "Teller", "Tree"]


def __getattr__(name):
    if name == "Publisher":
        from .publisher import Publisher  # pylint: disable=import-outside-toplevel

        return Publisher
    if name == "Teller":
        from .teller import Teller  # pylint: disable=import-outside-toplevel

        return Teller
    raise AttributeError(name)
