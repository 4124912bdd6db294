# SPDX-License-Identifier: Apache-2.0
"""Presets that lose bits, in a real engine: the next token of a prompt whose beginning is loaded is
the one that the engine gives from its own prefix cache, almost always; and the pool holds as much
more as the preset says. Text is this tree's documentation: on random tokens near ties decide. With
a table of the model, made as docs/vllm.md says of text that is not asked about; and without one:
then widths are measured by the daemon. Prints what it counted. That other KV gives other answers
is connector_test.py's to show."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import engines
from engines import Engine
from tokenizers import Tokenizer

import daemon

PIECES, BLOCKS, TAIL = 60, 6, 5
# preset, whether with a table: least of next tokens that stay, least of raw bytes over stored ones;
# the first page of each prompt, one of 24 here, is stored as 8 bits
LEAST = {("balanced", True): (0.86, 3.0), ("compact", True): (0.86, 3.6),
         ("balanced", False): (0.80, 2.8), ("compact", False): (0.80, 3.3)}
CHANCE_MOST = 0.5
CALIBRATED_ON = ("daemon", "libspeckv/src")  # what is not asked about


def texts():
    """Token ids of pieces of documentation, BLOCKS blocks and a few tokens each."""
    tokenizer = Tokenizer.from_file(str(engines.ROOM / "model/tokenizer.json"))
    length = BLOCKS * engines.BLOCK + TAIL
    found = []
    for page in sorted((engines.ROOT / "docs").glob("*.md")):
        ids = tokenizer.encode(page.read_text(encoding="utf-8")).ids
        found += [ids[at : at + length] for at in range(0, len(ids) - length, length)]
    return found[:: len(found) // PIECES][:PIECES]


def pool_facts(server):
    """Raw bytes of what is stored over what it takes; layouts whose widths the daemon measured."""
    said = subprocess.run([engines.ROOT / "build/release/bin/speckvctl", "--socket", server.socket,
                           "--json", "status"], stdout=subprocess.PIPE, check=True)
    status = json.loads(said.stdout)
    space = status["namespaces"][0]
    return space["raw_bytes"] / space["stored_bytes"], status["daemon"]["widths_measured"]


def make_table(folder):
    """A calibration table of the model, in this folder."""
    text = pathlib.Path(folder) / "text"
    pages = [page for part in CALIBRATED_ON for page in sorted((engines.ROOT / part).rglob("*.md"))
             + sorted((engines.ROOT / part).rglob("*.hpp"))]
    text.write_text("\n".join(page.read_text(encoding="utf-8") for page in pages), encoding="utf-8")
    subprocess.run([sys.executable, engines.ROOT / "libspeckv/python/calibrate_hf.py",
                    engines.ROOM / "model", text, "--out", pathlib.Path(folder) / "model.chan"],
                   check=True, env=engines.environment())
    text.unlink()


class PresetsTest(unittest.TestCase):
    def test_next_tokens_stay(self):
        pieces = texts()
        tables = tempfile.TemporaryDirectory(prefix="speckv-tables-")
        self.addCleanup(tables.cleanup)
        make_table(tables.name)
        for (preset, calibrated), (least, ratio_least) in LEAST.items():
            name = f"{preset}, {'with a table' if calibrated else 'no table'}"
            with self.subTest(name):
                server = daemon.Daemon(pool="1GiB", preset=preset,
                                       tables=tables.name if calibrated else None)
                self.addCleanup(server.close)
                same, by_chance = self.same(f"presets-{preset}-{calibrated}", server, pieces)
                ratio, measured = pool_facts(server)
                self.assertEqual(measured == 0, calibrated, server.log())
                print(f"{name}: {same:.1%} of {len(pieces)} next tokens stay ({by_chance:.1%} "
                      f"are those of the piece before), {ratio:.2f} x the tokens in the same "
                      "memory", flush=True)
                self.assertGreaterEqual(same, least)
                self.assertLess(by_chance, CHANCE_MOST)
                self.assertGreaterEqual(ratio, ratio_least)

    def same(self, name, server, pieces):
        """Shares of pieces whose next token, from what is loaded, is the one from the engine's own
        prefix cache; and of those whose neighbour's is."""
        engine = Engine(name, server, num_gpu_blocks_override=BLOCKS + 3, max_model_len=1024)
        self.addCleanup(engine.close)
        right = []
        for piece in pieces:
            engine.generate([piece], max_tokens=1)
            (tokens, cached), = engine.generate([piece], max_tokens=1)
            self.assertEqual(cached, BLOCKS * engines.BLOCK)
            right.append(tokens)
        engine.reset()
        before = engine.metrics()["speckv_loaded_blocks"]
        answers = engine.generate(pieces, max_tokens=1)
        loaded = engine.metrics()["speckv_loaded_blocks"] - before
        engine.close()
        self.assertEqual(loaded, BLOCKS * len(pieces))
        self.assertEqual({cached for _, cached in answers}, {BLOCKS * engines.BLOCK})
        stay = [tokens == each for (tokens, _), each in zip(answers, right)]
        chance = [one == other for one, other in zip(right, right[1:])]
        return sum(stay) / len(stay), sum(chance) / len(chance)
