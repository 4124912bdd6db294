# SPDX-License-Identifier: Apache-2.0
"""What happens to requests of a real engine: preemption, abort, a salt, a LoRA that is swapped,
replaced weights, tensor-parallel ranks. The engine's own prefix cache is emptied where a load is to
be seen; its answer from that cache before is what the load's is compared with."""

import json
import pathlib
import tempfile
import unittest

import engines
import torch
from engines import Engine, prompts
from safetensors.torch import save_file
from vllm.lora.request import LoRARequest

import daemon

HIT = 4 * engines.BLOCK


def adapter(folder, seed):
    """A LoRA for SmolLM2-135M that changes what V says."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for layer in range(30):
        name = f"base_model.model.model.layers.{layer}.self_attn.v_proj.lora_"
        weights[name + "A.weight"] = torch.randn(4, 576, generator=generator) * 0.05
        weights[name + "B.weight"] = torch.randn(192, 4, generator=generator) * 0.5
    save_file({name: value.to(torch.bfloat16) for name, value in weights.items()},
              folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["v_proj"], "bias": "none",
         "task_type": "CAUSAL_LM"}))


class LifeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = daemon.Daemon(pool="512MiB")
        cls.addClassCleanup(cls.daemon.close)

    def engine(self, name, **arguments):
        engine = Engine(name, self.daemon, **arguments)
        self.addCleanup(engine.close)
        return engine

    def test_preempted_aborted_salted_reset(self):
        asked = prompts(2, seed=31)
        engine = self.engine("life", num_gpu_blocks_override=12)  # two prompts, not their answers
        engine.generate(asked)
        warm = engine.generate(asked)
        engine.reset()
        engine.abort_after_a_step(asked)
        engine.reset()
        self.assertEqual(engine.generate(asked), warm)
        answers = engine.generate(prompts(2, seed=32), max_tokens=130, together=True)
        self.assertEqual([len(tokens) for tokens, _ in answers], [130, 130])
        counted = engine.metrics()
        self.assertGreater(counted["num_preemptions"], 0)
        self.assertEqual(counted["speckv_failed_blocks"], 0)
        engine.reset()
        self.assertEqual(engine.generate(asked), warm)
        self.assertEqual([cached for _, cached in engine.generate(asked, salt="somebody")], [0, 0])
        engine.reset(connector=True)
        self.assertEqual([cached for _, cached in engine.generate(asked)], [0, 0])

    def test_a_swapped_lora_is_another_one(self):
        asked = prompts(1, seed=33)
        engine = self.engine("lora", enable_lora=True, max_lora_rank=8, max_loras=1,
                             enable_prefix_caching=False)
        with tempfile.TemporaryDirectory() as folder:
            adapter(pathlib.Path(folder), 1)
            one, two = (LoRARequest("adapter", number, folder) for number in (1, 2))
            plain = engine.generate(asked)
            adapted = engine.generate(asked, lora=one)
            self.assertEqual([adapted[0][1], engine.generate(asked, lora=one)[0][1]], [0, HIT])
            adapter(pathlib.Path(folder), 2)
            self.assertEqual(engine.generate(asked, lora=one)[0][1], HIT)  # still the first one's
            swapped = engine.generate(asked, lora=two)
            self.assertEqual([swapped[0][1], engine.generate(asked, lora=two)[0][1]], [0, HIT])
        self.assertEqual(len({tuple(each[0][0]) for each in (plain, adapted, swapped)}), 3)
        self.assertEqual(engine.generate(asked)[0][1], HIT)

    def test_each_rank_has_its_own(self):
        asked = prompts(2, seed=34)
        engine = self.engine("ranks", apart=True, tensor_parallel_size=3)
        cold, warm = engine.generate(asked), engine.generate(asked)
        self.assertEqual([cached for _, cached in cold + warm], [0, 0, HIT, HIT])
        before = engine.metrics()["speckv_loaded_blocks"]
        engine.reset()
        self.assertEqual(engine.generate(asked), warm)
        self.assertEqual(engine.metrics()["speckv_loaded_blocks"] - before, 3 * 8)

    def test_ranks_that_disagree_are_refused(self):
        with self.assertRaises(RuntimeError):
            self.engine("disagreeing", apart=True, tensor_parallel_size=3,
                        connector=("altered", "DisagreeingConnector"))
        said = (engines.ROOM / "engine-disagreeing.log").read_text(encoding="utf-8")
        self.assertIn("speckv: the workers disagree about weights_digest", said)

    def test_a_lora_whose_files_are_not_there_is_left_alone(self):
        # its bytes cannot be named, so what it computed must not be found by another one
        asked = prompts(1, seed=35)
        engine = self.engine("unnamed-lora", enable_lora=True, max_lora_rank=8, max_loras=1,
                             enable_prefix_caching=False)
        with tempfile.TemporaryDirectory() as folder:
            adapter(pathlib.Path(folder), 1)
            known = LoRARequest("known", 1, folder)
            engine.generate(asked, lora=known)  # the engine has it from here on
        gone = LoRARequest("known", 1, folder + "-gone")
        self.assertEqual(engine.generate(asked, lora=known)[0][1], HIT)
        with self.assertRaises(RuntimeError):
            engine.generate(asked, lora=LoRARequest("gone", 2, gone.lora_path))
        self.assertIn("neither loads nor saves LoRA 'gone'", engine.said())
