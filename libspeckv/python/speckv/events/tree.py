# SPDX-License-Identifier: Apache-2.0
"""Tree: from which ids are in the pool to what a router should know. Pure: no I/O, no clock.

A router's index is a tree of prefixes. It drops a block whose parent it does not have, and what
hangs below a removed block is lost to it. So a block is *announced* while it is whole in the pool
and its parent is announced: parents go out before their children, and a block that leaves takes
along what was announced below it, which comes back when the block does.
"""

import array
from collections import deque
from typing import NamedTuple

STORED_MAX = 256  # blocks of one event: consumers take an event as one message
REMOVED_MAX = 1024


class Block(NamedTuple):
    """What the engine calls a block.

    hash, parent: as in the engine's own events, int or bytes; parent None opens a sequence.
    tokens: its token ids, below 2^31; a Tree keeps them as an array. ids: of all pool blocks that
    hold it (Layout.block_ids(keys)): one a rank; it is whole while all are there. lora: the name
    of its LoRA."""

    hash: object
    parent: object
    tokens: object
    ids: object
    lora: str | None = None


class Stored(NamedTuple):
    """Blocks that follow each other, the first one after `parent`."""

    parent: object
    blocks: list  # of Block


class Removed(NamedTuple):
    hashes: list


class Cleared(NamedTuple):
    """Nothing is announced any more."""


class _Node:
    __slots__ = ("announced", "block", "missing")

    def __init__(self, block, missing):
        self.block = block
        self.missing = missing  # ids that are not in the pool
        self.announced = False


class Tree:
    """known_max: blocks that are remembered; the longest away from the pool are forgotten first,
    and where all are there no more are learnt (`refused` counts them)."""

    def __init__(self, known_max=1 << 20):
        self.known_max = known_max
        self.refused = 0
        self._nodes = {}  # by hash
        self._children = {}  # hash -> hashes, of parents that are not known as well
        self._of_id = {}  # id -> hashes
        self._there = set()  # ids in the pool, of any block
        self._away = {}  # hashes that are not whole, the longest away first

    def __len__(self):
        return len(self._nodes)

    def knows(self, name):
        return name in self._nodes

    def blocks(self):
        """All that are known."""
        return [node.block for node in self._nodes.values()]

    def announced(self):
        """Hashes."""
        return {each for each, node in self._nodes.items() if node.announced}

    def tell(self, blocks):
        """Learns what the engine calls blocks. Returns the events that follow."""
        learnt = []
        for block in blocks:
            if block.hash in self._nodes or not self._make_room():
                continue
            missing = sum(each not in self._there for each in block.ids)
            kept = block._replace(tokens=array.array("i", block.tokens), ids=tuple(block.ids))
            self._nodes[block.hash] = _Node(kept, missing)
            self._children.setdefault(block.parent, set()).add(block.hash)
            for each in block.ids:
                self._of_id.setdefault(each, []).append(block.hash)
            if missing:
                self._away[block.hash] = None
            else:
                learnt.append(block.hash)
        return self._announce(learnt)

    def change(self, stored, removed):
        """Applies what came into the pool and what left. Returns the events that follow."""
        gone, whole = [], []
        for each in removed:
            if each in self._there:
                self._there.discard(each)
                gone += self._of_id.get(each, ())
                for name in self._of_id.get(each, ()):
                    self._nodes[name].missing += 1
                    self._away[name] = None
        for each in stored:
            if each not in self._there:
                self._there.add(each)
                for name in self._of_id.get(each, ()):
                    node = self._nodes[name]
                    node.missing -= 1
                    if not node.missing:
                        self._away.pop(name, None)
                        whole.append(name)
        return self._retract(gone) + self._announce(whole)

    def begin_anew(self, there):
        """`there` is all that is in the pool. Returns the events from what was to what is."""
        there = set(there)
        return self.change(there - self._there, self._there - there)

    def restate(self):
        """Events that say everything to one who knows nothing, or something wrong."""
        for node in self._nodes.values():
            node.announced = False
        return [Cleared(), *self._announce([name for name, node in self._nodes.items()
                                            if not node.missing])]

    def _announce(self, names):
        """Announces these, and what waited for them."""
        order, todo = [], deque(names)
        while todo:
            name = todo.popleft()
            node = self._nodes[name]
            if node.announced or node.missing or not self._follows(node.block.parent):
                continue
            node.announced = True
            order.append(node.block)
            # first what follows: runs of a sequence then are one event
            todo.extendleft(self._children.get(name, ()))
        return _runs(order)

    def _follows(self, parent):
        if parent is None:
            return True
        node = self._nodes.get(parent)
        return node is not None and node.announced

    def _retract(self, names):
        """Takes back these that are announced and all below them, children first."""
        order = []
        for name in names:
            todo = [name]
            below = []
            while todo:
                each = todo.pop()
                node = self._nodes.get(each)
                if node is None or not node.announced:
                    continue
                node.announced = False
                below.append(each)
                todo.extend(self._children.get(each, ()))
            order += reversed(below)
        return [Removed(order[at : at + REMOVED_MAX]) for at in range(0, len(order), REMOVED_MAX)]

    def _make_room(self):
        while len(self._nodes) >= self.known_max:
            if not self._away:
                self.refused += 1
                return False
            self._forget(next(iter(self._away)))
        return True

    def _forget(self, name):
        del self._away[name]
        block = self._nodes.pop(name).block
        for each in block.ids:
            names = self._of_id[each]
            names.remove(name)
            if not names:
                del self._of_id[each]
        siblings = self._children[block.parent]
        siblings.discard(name)
        if not siblings:
            del self._children[block.parent]


def _runs(blocks):
    """Blocks in order as Stored events: one for each run in which each follows the one before."""
    events = []
    for block in blocks:
        last = events[-1].blocks if events else None
        if (last and last[-1].hash == block.parent and last[-1].lora == block.lora
                and len(last[-1].tokens) == len(block.tokens) and len(last) < STORED_MAX):
            last.append(block)
        else:
            events.append(Stored(block.parent, [block]))
    return events
