# SPDX-License-Identifier: Apache-2.0
"""model.py - what a page of this engine's KV cache is, as a speckv.Layout, and where K and V of
each layer lie, as arrays.

What KV depends on is in the layout: the weights by their bytes, vLLM's version, the KV dtype, how
weights are quantized, what the user calls `variant`; the rank and the layers that this process
holds. What it depends on a request for (a LoRA, a salt) is in the keys. Where the kernel's order
inside a head is none that strides can describe, pages are stored as they lie, under a variant of
their own and by preset `exact` alone.
"""

import hashlib
import json
import pathlib
import re

import speckv

from . import probe, seam

DTYPES = {"torch.bfloat16": "bf16", "torch.float16": "f16", "torch.uint8": "f8",
          "torch.float8_e4m3fn": "f8", "torch.float8_e5m2": "f8"}
HALVES = {"gemma", "gemma2", "granite", "llama", "mistral", "mixtral", "phi3", "qwen2", "qwen2_moe",
          "qwen3", "qwen3_moe"}  # families whose RoPE turns channel i and the one half a head on
NEIGHBOURS = {"cohere", "cohere2", "glm", "glm4"}


def layers_of(kv_caches):
    """[(names of the layers that share a tensor, tensor)] in the model's order."""
    def numbers(name):
        return [int(number) for number in re.findall(r"\d+", name)]

    by_memory = {}
    for name in sorted(kv_caches, key=numbers):
        by_memory.setdefault(kv_caches[name].data_ptr(), ([], kv_caches[name]))[0].append(name)
    return list(by_memory.values())


def refuse_what_cannot_be(vllm_config, kv_cache_config):
    """Raises ValueError with a sentence."""
    spec = seam.one_group(kv_cache_config).kv_cache_spec
    parallel = vllm_config.parallel_config
    if getattr(spec, "head_size_v", spec.head_size) != spec.head_size:
        raise ValueError(f"K has heads of {spec.head_size} channels and V of {spec.head_size_v}; "
                         "expected the same")
    if str(spec.dtype) not in DTYPES:
        raise ValueError(f"KV cache of {spec.dtype}; expected bfloat16, float16 or an fp8 type "
                         "(--dtype, --kv-cache-dtype)")
    if parallel.decode_context_parallel_size > 1 or parallel.prefill_context_parallel_size > 1:
        raise ValueError("context parallelism: a block would lie in several workers; expected "
                         "sizes of 1")
    return spec


def lora_digest(path):
    """Of an adapter's folder; None where there is none."""
    folder = pathlib.Path(path)
    files = sorted(folder.glob("adapter_*")) if folder.is_dir() else []
    if not files:
        return None
    digests = b"".join(speckv.file_digest(str(file)) for file in files)
    return hashlib.sha256(digests).digest()


def rope_of(config, head_dim):
    """Fields of speckv.Layout; none of them where the RoPE is not one that presets know."""
    facts = getattr(config, "rope_parameters", None) or {}
    family = getattr(config, "model_type", "")
    way = "half" if family in HALVES else "interleaved" if family in NEIGHBOURS else None
    known = facts.get("rope_type", "default") in ("default", "llama3", "yarn")
    if not way or not known or not isinstance(facts.get("rope_theta"), (int, float)):
        return {}
    dims = int(head_dim * facts.get("partial_rotary_factor", 1.0))
    return {"rope": way, "rope_theta": float(facts["rope_theta"]),
            "rope_dims": 0 if dims == head_dim else dims}


def layout_of(vllm_config, kv_cache_config, options, layers, page_order):
    """layers: layers_of()'s. page_order: "strides", or what else tells this order of values inside
    a page from others."""
    spec = refuse_what_cannot_be(vllm_config, kv_cache_config)
    model, parallel = vllm_config.model_config, vllm_config.parallel_config
    dtype = DTYPES[str(spec.dtype)]
    lossless = page_order != "strides" or dtype == "f8"
    if lossless and options.preset not in ("exact", "daemon"):
        raise ValueError(f"preset {options.preset!r}: this engine's KV ({spec.dtype}, {page_order})"
                         " can be stored as it is alone; expected exact")
    digest = (bytes.fromhex(options.weights_digest) if options.weights_digest
              else speckv.model_digest(model.model))
    kv_format = [str(spec.dtype), str(vllm_config.cache_config.cache_dtype), str(model.dtype),
                 str(model.quantization), page_order, options.variant,
                 json.dumps(model.hf_overrides, default=str) if model.hf_overrides else ""]
    staged = parallel.pipeline_parallel_size > 1
    first = int(re.findall(r"\d+", layers[0][0][0])[0]) if staged else 0
    return speckv.Layout(
        dtype=dtype, layers=len(layers), kv_heads=spec.num_kv_heads, head_dim=spec.head_size,
        block_tokens=spec.block_size, page_tokens=32 if spec.block_size % 32 == 0 else 16,
        rank=seam.get_tensor_model_parallel_rank(), world=parallel.tensor_parallel_size,
        first_layer=first, preset="exact" if lossless else options.preset,
        weights_digest=digest,
        variant_digest=speckv.variant_digest(f"vllm {seam.VERSION}", "\0".join(kv_format)),
        **rope_of(model.hf_text_config, spec.head_size))


def places_of(layers, attention, spec):
    """Where K and V lie. attention: the engine's attention layers by name. Returns: (page_order for
    layout_of(), k, v, axes for speckv.Paged)."""
    heads, tokens, channels = spec.num_kv_heads, spec.block_size, spec.head_size
    found = []
    for names, cache in layers:
        if str(cache.device) != "cpu":
            raise ValueError(f"KV cache on device {cache.device}; expected the CPU build of vLLM")
        if tuple(cache.shape[1:]) != (heads, tokens, 2 * channels):
            raise ValueError(f"KV cache of shape {tuple(cache.shape)}; expected "
                             f"[blocks, {heads}, {tokens}, {2 * channels}]")
        write = seam.writer(attention[names[0]])
        found.append(probe.strides_of(write, cache[:1], heads, tokens, channels, spec.dtype)
                     if write and cache.dtype == spec.dtype and spec.dtype.itemsize == 2 else None)
    if all(found):
        return "strides", *_arrays(layers, found, (heads, tokens, channels)), "bhtc"
    kernel = getattr(attention[layers[0][0][0]], "isa", "unknown")
    half = tokens * channels
    as_it_lies = [(side * half, (2 * half, channels, 1)) for side in (0, 1)]
    k, v = _arrays(layers, [as_it_lies] * len(layers), (heads, tokens, channels))
    return f"as {kernel} has it", k, v, "bhtc"


def _arrays(layers, found, shape):
    """NumPy arrays on the tensors' memory, by what probe.strides_of() found."""
    sides = ([], [])
    for (_, cache), places in zip(layers, found):
        for side, (first, strides) in zip(sides, places):
            view = cache.as_strided((cache.shape[0], *shape), (cache.stride(0), *strides),
                                    cache.storage_offset() + first)
            side.append(view.view(_integers(view.element_size())).numpy())
    return sides


def _integers(size):
    import torch

    return {1: torch.uint8, 2: torch.int16}[size]
