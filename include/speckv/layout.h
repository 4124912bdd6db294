/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout.h - how one engine lays out the KV of one model, as data.
 *
 * A layout is registered once per session (speckv_layout_register) and its fingerprint is stored in
 * every segment. Bytes written under another fingerprint are a miss, never a reinterpretation.
 * Shared by the library, the daemon and the codecs; holds no code and includes nothing of ours.
 *
 * Terms (docs/glossary.md): block = KV of consecutive tokens, all layers and heads of one rank,
 * under one key; segment = the part of a block of one layer (K and V); page = `page_tokens` tokens
 * of one (layer, K or V, kv head), the codec's unit; side bytes = what else belongs to a block and
 * is no K or V: the state of recurrent layers at its end, an indexer's keys.
 */
#ifndef SPECKV_LAYOUT_H
#define SPECKV_LAYOUT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SPECKV_KEY_BYTES 32u
#define SPECKV_DIGEST_BYTES 32u
#define SPECKV_POSITION_UNKNOWN UINT32_MAX
#define SPECKV_LAYERS_MAX 256u /* deepest public dense model has 126 layers; doubled */
#define SPECKV_HEADS_MAX 256u  /* kv heads of one rank */
#define SPECKV_HEAD_DIM_MAX 1024u
#define SPECKV_BLOCK_TOKENS_MAX 4096u
#define SPECKV_SEGMENT_BYTES_MAX (2u << 20) /* one layer's raw K and V must fit a 2 MiB slab */
#define SPECKV_SIDE_BYTES_MAX (64u << 20)   /* of one block: what a session's arena may hold */

enum speckv_dtype {
	SPECKV_DTYPE_F16 = 1,
	SPECKV_DTYPE_BF16 = 2,
	SPECKV_DTYPE_F8 = 3 /* any 8-bit float; only presets `exact` and `lossless` take it */
};

enum speckv_preset {
	SPECKV_PRESET_DAEMON = 0, /* whatever the daemon's configuration says for this namespace */
	SPECKV_PRESET_EXACT = 1,  /* raw / raw */
	SPECKV_PRESET_Q8 = 2,     /* q8 / q8 */
	SPECKV_PRESET_NEAR_LOSSLESS = 3,
	SPECKV_PRESET_BALANCED = 4,
	SPECKV_PRESET_COMPACT = 5,
	SPECKV_PRESET_TIGHT = 6,
	SPECKV_PRESET_LOSSLESS = 7 /* every bit, packed; raw where a layout cannot be */
};

enum speckv_rope {
	SPECKV_ROPE_NONE = 0,
	SPECKV_ROPE_INTERLEAVED = 1, /* pairs (0,1), (2,3), ...: llama.cpp "norm" */
	SPECKV_ROPE_HALF = 2         /* pairs (0,d/2), (1,d/2+1), ...: "neox" */
};

/*
 * struct speckv_layout - what the bytes of a block mean.
 *
 * `size` is sizeof(struct speckv_layout) as the caller compiled it; reserved fields are 0.
 * Everything but `preset` enters the fingerprint, and with it what a block is found by: processes
 * that hold different parts of one model (rank, world, first_layer) may use equal keys, and each
 * finds, keeps and removes its own blocks alone.
 */
struct speckv_layout {
	uint32_t size;
	uint32_t dtype;        /* enum speckv_dtype */
	uint32_t layers;       /* 1..SPECKV_LAYERS_MAX */
	uint32_t kv_heads;     /* of this rank */
	uint32_t head_dim;     /* channels of one head; K and V alike */
	uint32_t block_tokens; /* tokens of one block, a multiple of page_tokens */
	uint32_t page_tokens;  /* 16, 32 or 64 */
	uint32_t rank;         /* tensor-parallel rank of this process, and */
	uint32_t world;        /* how many there are; 0 and 1 where there is one */
	uint32_t rope;         /* enum speckv_rope */
	uint32_t rope_dims;    /* rotated channels of a head; 0: all of head_dim */
	uint32_t preset;       /* enum speckv_preset: how blocks of this layout are stored */
	uint8_t weights_digest[SPECKV_DIGEST_BYTES]; /* of the weights' bytes, not their name */
	uint8_t variant_digest[SPECKV_DIGEST_BYTES]; /* see speckv_variant_digest() */
	float rope_theta[SPECKV_LAYERS_MAX];         /* base per layer; 0: as layer 0's */
	uint32_t first_layer; /* of the model, that this process holds: pipeline stages differ by it
	                       */
	uint32_t side_bytes;  /* of a block beside its KV: opaque, stored exact; 0: none */
	uint64_t reserved[3];
};

#ifdef __cplusplus
}
#endif
#endif
