# SPDX-License-Identifier: Apache-2.0
"""SpeckvSpec and SpeckvTier in a real engine: vLLM's own OffloadingConnector, its CPU tier of a few
chunks, and speckv below. Same rule as connector_test.py, and its zeroed control says what a test of
this kind can see."""

import unittest

import engines
from engines import Engine, prompts

import daemon

PROMPTS = prompts(5, seed=21)
HIT = 4 * engines.BLOCK
BLOCK_BYTES = 2949120


class TierTest(unittest.TestCase):
    def test_another_process_loads_what_one_stored(self):
        server = daemon.Daemon(pool="256MiB")
        self.addCleanup(server.close)
        native = Engine("tier-native")
        self.addCleanup(native.close)
        cold, warm = native.generate(PROMPTS), native.generate(PROMPTS)
        native.close()
        options = {"spec_name": "SpeckvSpec", "spec_module_path": "speckv_vllm",
                   "cpu_bytes_to_use": 10 * BLOCK_BYTES,
                   "secondary_tiers": [{"type": "SpeckvTier", "module_path": "speckv_vllm",
                                        "socket": server.socket}]}
        connector = (None, "OffloadingConnector")
        first = Engine("tier-first", server, options, connector,
                       num_gpu_blocks_override=engines.BLOCKS_FEW)
        self.addCleanup(first.close)
        self.assertEqual(first.generate(PROMPTS), cold)
        self.assertEqual(first.generate(PROMPTS), warm)
        self.assertEqual(first.end(), [])
        first.close()
        other = Engine("tier-other", server, options, connector)
        self.addCleanup(other.close)
        self.assertEqual(other.generate(PROMPTS), warm)
        self.assertEqual([cached for _, cached in warm], [HIT] * len(PROMPTS))
