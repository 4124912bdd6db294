# SPDX-License-Identifier: Apache-2.0
"""speckv.events.Tree: a router that is as strict as routers are (no block without its parent, and
what hangs below a removed block is gone) knows exactly what is whole in the pool from the start of
its sequence on, whatever is told, stored and removed, in any order."""

import array
import random
import tracemalloc
import unittest

from speckv.events import Block, Cleared, Removed, Stored, Tree


class Router:
    """Applies events; refuses what a router would drop."""

    def __init__(self):
        self.parent = {}  # of each hash that it has

    def apply(self, events):
        for event in events:
            if isinstance(event, Cleared):
                self.parent.clear()
            elif isinstance(event, Removed):
                for name in event.hashes:
                    if name in self.parent.values():
                        raise AssertionError(f"{name} was removed before what follows it")
                    del self.parent[name]
            else:
                self._store(event)

    def _store(self, event):
        parent = event.parent
        for block in event.blocks:
            if parent is not None and parent not in self.parent:
                raise AssertionError(f"{block.hash} came before its parent")
            if block.parent != parent or block.hash in self.parent:
                raise AssertionError(f"{block.hash} is no news, or follows another one")
            self.parent[block.hash] = parent
            parent = block.hash


def block(name, parent, ids):
    """As a Tree keeps it."""
    return Block(name, parent, array.array("i", [name]), tuple(ids))


def forest(rng, count, ranks):
    blocks = []
    for name in range(count):
        parent = rng.choice(blocks).hash if blocks and rng.random() < 0.9 else None
        ids = [f"{name:08}{rank:08}".encode() * 2 for rank in range(ranks)]
        blocks.append(block(name, parent, ids))
    return blocks


def usable(blocks, known, there):
    """Hashes that are known and whole, and all before them as well. Parents come first."""
    good = {None}
    for block in blocks:
        if block.hash in known and block.parent in good and there.issuperset(block.ids):
            good.add(block.hash)
    return good - {None}


class TreeTest(unittest.TestCase):
    def test_a_strict_router_knows_what_is_there(self):
        for seed in range(30):
            rng = random.Random(seed)
            blocks = forest(rng, 60, ranks=1 + seed % 2)
            ids = [each for block in blocks for each in block.ids]
            tree, router, known, there = Tree(), Router(), set(), set()
            for _ in range(300):
                what = rng.random()
                if what < 0.3:
                    some = rng.sample(blocks, 4)
                    events = tree.tell(some)
                    known.update(block.hash for block in some)
                elif what < 0.95:
                    stored = set(rng.sample(ids, 6))
                    removed = set(rng.sample(ids, 4)) - stored
                    there = (there | stored) - removed
                    events = tree.change(stored, removed)
                elif what < 0.98:
                    there = set(rng.sample(ids, len(ids) // 2))
                    events = tree.begin_anew(there)
                else:
                    events = tree.restate()
                    self.assertIsInstance(events[0], Cleared)
                router.apply(events)
                self.assertEqual(set(router.parent), usable(blocks, known, there), f"seed {seed}")
                self.assertEqual(set(router.parent), tree.announced())

    def test_a_sequence_is_one_event(self):
        chain = [block(n, n - 1 if n else None, [bytes([n]) * 32]) for n in range(40)]
        tree = Tree()
        self.assertEqual(tree.tell(chain), [])
        stored = tree.change([block.ids[0] for block in reversed(chain)], [])
        self.assertEqual(stored, [Stored(None, chain)])
        self.assertEqual(tree.change([], [chain[30].ids[0]]), [Removed(list(range(39, 29, -1)))])
        self.assertEqual(tree.change([chain[30].ids[0]], []), [Stored(29, chain[30:])])

    def test_what_is_long_away_is_forgotten(self):
        chain = [block(n, None, [n.to_bytes(32, "big")]) for n in range(10)]
        tree = Tree(known_max=4)
        tree.tell(chain[:4])
        tree.change([chain[0].ids[0]], [])
        tree.tell(chain[4:6])
        self.assertEqual([block.hash for block in tree.blocks()], [0, 3, 4, 5])
        tree.change([block.ids[0] for block in chain[3:6]], [])
        self.assertEqual(tree.tell(chain[6:]), [])
        self.assertEqual((len(tree), tree.refused), (4, 4))
        tree.change([], [chain[0].ids[0]])
        self.assertEqual(len(tree.tell(chain[6:7])), 0)
        self.assertEqual([block.hash for block in tree.blocks()], [3, 4, 5, 6])

    def test_what_a_known_block_costs(self):
        rng = random.Random(5)
        tree = Tree()
        tracemalloc.start()
        for _ in range(100):
            tree.tell([Block(rng.getrandbits(60), None, [rng.randrange(50_000) for _ in range(256)],
                             [rng.randbytes(32)]) for _ in range(20)])
        taken = tracemalloc.get_traced_memory()[0] / len(tree)
        tracemalloc.stop()
        self.assertLess(taken, 700 + 4 * 256)

    def test_a_chain_of_any_length(self):
        chain = [block(n, n - 1 if n else None, [n.to_bytes(32, "big")]) for n in range(20_000)]
        tree = Tree()
        tree.tell(chain)
        events = tree.change([block.ids[0] for block in chain], [])
        self.assertEqual(sum(len(event.blocks) for event in events), len(chain))
        gone = tree.change([], [chain[0].ids[0]])
        self.assertEqual([name for event in gone for name in event.hashes],
                         list(range(19_999, -1, -1)))


if __name__ == "__main__":
    unittest.main()
