/* SPDX-License-Identifier: Apache-2.0 */
/*
 * put_get.c - the shortest useful program: store one block of KV, ask for it, read it back.
 *
 *   speckvd --config FILE &
 *   SPECKV_SOCKET=/run/speckv/speckv.sock put_get
 *
 * A real server gets keys from speckv_key_chain() over its token ids and digests from
 * speckv_file_digest(); here both are made up.
 */
#include <speckv/speckv.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS = 4, HEADS = 2, HEAD_DIM = 64, TOKENS = 32 };

static uint16_t written[LAYERS][2][TOKENS][HEADS][HEAD_DIM];
static uint16_t loaded[LAYERS][2][TOKENS][HEADS][HEAD_DIM];

static void check(const char *what, int result)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-result));
	exit(1);
}

/* Where this program keeps its KV: [layer][K or V][token][head][channel]. */
static struct speckv_buf buffer(uint16_t kv[LAYERS][2][TOKENS][HEADS][HEAD_DIM],
				struct speckv_view views[2 * LAYERS])
{
	struct speckv_buf buf = { .layer_first = 0, .layer_count = LAYERS, .views = views };

	for (int i = 0; i < 2 * LAYERS; i++) {
		views[i].base = kv[i / 2][i % 2];
		views[i].token_stride = sizeof(kv[0][0][0]);
		views[i].head_stride = sizeof(kv[0][0][0][0]);
		views[i].channel_stride = sizeof(uint16_t);
	}
	return buf;
}

int main(void)
{
	struct speckv_layout layout = {
		.size = sizeof(layout), .dtype = SPECKV_DTYPE_F16, .layers = LAYERS,
		.kv_heads = HEADS, .head_dim = HEAD_DIM, .block_tokens = TOKENS,
		.page_tokens = TOKENS, .world = 1, .preset = SPECKV_PRESET_EXACT,
	};
	int32_t tokens[TOKENS] = { 1, 2, 3 };
	struct speckv_view views[2 * LAYERS];
	struct speckv_session *session;
	struct speckv_completion done;
	uint32_t number;
	uint8_t key[1][SPECKV_KEY_BYTES], hit;

	check("open", speckv_open(NULL, &session));
	check("layout", speckv_layout_register(session, &layout, &number));
	check("key", speckv_key_chain(NULL, NULL, 0, tokens, TOKENS, key[0]));
	for (size_t i = 0; i < sizeof(written) / 2; i++)
		((uint16_t *)written)[i] = (uint16_t)(i & 0x3bff); /* any finite halves */

	struct speckv_put_op put = { .buf = buffer(written, views), .user_data = 1 };
	memcpy(put.key, key[0], sizeof(put.key));
	check("put", speckv_put(session, number, &put, 1));
	check("put", put.ret_result);
	check("wait", speckv_wait(session, 5000000000ull));
	check("reap", speckv_reap(session, &done, 1));
	check("completion", done.result);

	check("exists", speckv_exists(session, number, key, 1, &hit));
	struct speckv_get_op get = { .buf = buffer(loaded, views) };
	memcpy(get.key, key[0], sizeof(get.key));
	check("get", speckv_get(session, number, &get, 1));
	check("get", get.ret_result);

	const int differs = memcmp(written, loaded, sizeof(loaded)) != 0;
	printf("libspeckv %s: exists %d, %s bytes came back\n", speckv_version(), hit,
	       differs ? "other" : "the same");
	speckv_close(session);
	return differs;
}
