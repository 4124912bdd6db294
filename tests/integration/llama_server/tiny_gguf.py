# SPDX-License-Identifier: Apache-2.0
"""tiny_gguf.py - files of random numbers that make a stock llama-server do what no small model here
does: a LoRA adapter, and a projector that turns an image into a few embeddings. For refusals_test.
What such a model answers means nothing; that two servers answer alike does."""
import random
import struct

WIDTH = 576  # of SmolLM2-135M's embeddings
RANK = 4  # the adapter's
IMAGE, PATCH, SIGHT, INNER = 16, 4, 32, 64  # pixels of a side, of a patch's; the encoder's widths


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def entry(value):
    """A value with GGUF's number of its kind."""
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, bool):
        return struct.pack("<IB", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    return struct.pack("<IIQ", 9, 6, len(value)) + struct.pack(f"<{len(value)}f", *value)


def write(path, entries, tensors, seed=1):
    """tensors: {name: its dimensions, the innermost first}. Returns: path."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries))
    for key, value in entries.items():
        head += text(key) + entry(value)
    data, numbers = b"", random.Random(seed)
    for name, shape in tensors.items():
        head += text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += struct.pack("<IQ", 0, len(data))
        count = 1
        for each in shape:
            count *= each
        data += struct.pack(f"<{count}f", *(numbers.gauss(0, 1) for _ in range(count)))
        data += bytes(-len(data) % 32)
    path.write_bytes(head + bytes(-len(head) % 32) + data)
    return path


def lora(path):
    """One pair of matrices, for the first layer's Q."""
    entries = {"general.type": "adapter", "general.architecture": "llama",
               "adapter.type": "lora", "adapter.lora.alpha": 4.0}
    return write(path, entries, {"blk.0.attn_q.weight.lora_a": (WIDTH, RANK),
                                 "blk.0.attn_q.weight.lora_b": (RANK, WIDTH)})


def projector(path):
    """An encoder of one layer, for `--mmproj`: an image becomes four embeddings."""
    sight = "clip.vision."
    entries = {"general.architecture": "clip", "clip.has_vision_encoder": True,
               "clip.projector_type": "gemma3", "clip.use_gelu": True,
               sight + "image_size": IMAGE, sight + "patch_size": PATCH,
               sight + "embedding_length": SIGHT, sight + "feed_forward_length": INNER,
               sight + "block_count": 1, sight + "projection_dim": WIDTH,
               sight + "attention.head_count": 2, sight + "attention.layer_norm_epsilon": 1e-6,
               sight + "projector.scale_factor": 2,
               sight + "image_mean": (0.5, 0.5, 0.5), sight + "image_std": (0.5, 0.5, 0.5)}
    square, layer = (SIGHT, SIGHT), "v.blk.0."
    tensors = {"v.patch_embd.weight": (PATCH, PATCH, 3, SIGHT),
               "v.position_embd.weight": (SIGHT, (IMAGE // PATCH) ** 2),
               "v.post_ln.weight": (SIGHT,), "v.post_ln.bias": (SIGHT,),
               **{f"{layer}attn_{each}.weight": square for each in ("q", "k", "v", "out")},
               **{f"{layer}ln{each}.weight": (SIGHT,) for each in (1, 2)},
               **{f"{layer}ln{each}.bias": (SIGHT,) for each in (1, 2)},
               f"{layer}ffn_up.weight": (SIGHT, INNER), f"{layer}ffn_down.weight": (INNER, SIGHT),
               "mm.input_projection.weight": (WIDTH, SIGHT), "mm.soft_emb_norm.weight": (SIGHT,)}
    return write(path, entries, tensors)


def image(seed):
    """A picture of noise, as a file's bytes."""
    return b"P6 %d %d 255\n" % (IMAGE, IMAGE) + random.Random(seed).randbytes(3 * IMAGE * IMAGE)
