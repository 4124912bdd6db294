# SPDX-License-Identifier: Apache-2.0
"""announce.py - tells routers what this engine's blocks in the pool are called: through vLLM's own
stream of KV events where it has one, or to a publisher of the host (docs/events.md), or both.
Imports nothing of vLLM. One thread: the scheduler's. Never waits.

A block is told of when its request is looked up or saved; it is announced while the pool has it, of
whoever stored it.
"""

from speckv import events


class Announce:
    """own_stream: whether the engine publishes events, which take() then has. Raises OSError where
    the file of what was told cannot be opened."""

    def __init__(self, session, options, own_stream):
        self._announcer = self._teller = None
        if own_stream:
            self._announcer = events.Announcer(session, options.events_told or None)
        if options.events_tell:
            self._teller = events.Teller(options.events_tell)

    def tell(self, layouts, names, parent, tokens, keys, lora):
        """Of consecutive blocks of a request, as the engine names them: names, the name before the
        first (None: none), their token ids, keys, the LoRA's name. layouts: of all ranks."""
        size = layouts[0].block_tokens
        ids = [layout.block_ids(keys) for layout in layouts]
        blocks = [events.Block(name, before, list(tokens[i * size : (i + 1) * size]),
                               [each[i].tobytes() for each in ids], lora)
                  for i, (name, before) in enumerate(zip(names, [parent, *names]))]
        if self._announcer:
            self._announcer.tell(blocks)
        if self._teller:
            self._teller.tell(blocks)

    def take(self):
        """speckv.events.Stored and Removed since the last time."""
        return self._announcer.poll() if self._announcer else []

    def close(self):
        for each in (self._announcer, self._teller):
            if each:
                each.close()
