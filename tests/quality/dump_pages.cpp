// SPDX-License-Identifier: Apache-2.0
// dump_pages.cpp - speckv-dump-pages MODEL.gguf TEXT OUT: real K and V pages as test vectors.
//
// Computes 256 tokens of TEXT and writes, for every fifth layer, for K then V, for each kv head,
// pages 1 to 7 of 32 tokens (page 0 is stored otherwise): token by token, 16-bit values.
// tests/vectors/smollm2-pages.bin is its output: see the README there.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "llama/sequence.hpp"

namespace {

using namespace speckv::llama;
constexpr uint32_t page_tokens = 32, tokens_wanted = 256, layer_step = 5;

void require(bool good, const std::string& why) {
  if (!good) throw std::runtime_error(why);
}

void write_pages(const StateMap& state, std::ofstream& out) {
  const StateShape& shape = state.shape();
  for (uint32_t layer = 0; layer < shape.layers; layer += layer_step)
    for (int kind = 0; kind < 2; kind++)
      for (uint32_t head = 0; head < shape.kv_heads; head++)
        for (uint32_t token = page_tokens; token < tokens_wanted; token++) {
          const speckv_view view = kind ? state.v(layer, token) : state.k(layer, token);
          const char* at = static_cast<const char*>(view.base) + int64_t(head) * view.head_stride;
          for (uint32_t channel = 0; channel < shape.head_dim; channel++)
            out.write(at + int64_t(channel) * view.channel_stride, 2);
        }
}

void run(const std::string& file, const std::string& text_file, const std::string& out_file) {
  std::ifstream in(text_file, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  require(!text.empty(), text_file + ": cannot be read or is empty");
  llama_model* model = llama_model_load_from_file(file.c_str(), llama_model_default_params());
  require(model, file + ": not a model that this llama.cpp can load");
  std::vector<llama_token> tokens(text.size() + 2);
  const int count = llama_tokenize(llama_model_get_vocab(model), text.data(), int32_t(text.size()),
                                   tokens.data(), int32_t(tokens.size()), true, false);
  require(count >= int(tokens_wanted), "the text has fewer than 256 tokens");
  llama_context_params params = llama_context_default_params();
  params.n_ctx = params.n_batch = params.n_ubatch = tokens_wanted;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
  llama_context* context = llama_init_from_model(model, params);
  require(context, "llama.cpp gave no context");
  StateShape shape;
  StateMap state;
  std::string why;
  require(probe_shape(context, &shape, &why), why);
  require(llama_decode(context, llama_batch_get_one(tokens.data(), int(tokens_wanted))) == 0,
          "llama_decode failed");
  std::vector<std::byte> blob(state_bytes(shape, tokens_wanted));
  require(save_tokens(context, shape, 0, -1, 0, tokens_wanted, blob, &state, &why, Moved::no), why);
  std::ofstream out(out_file, std::ios::binary | std::ios::trunc);
  write_pages(state, out);
  out.close();
  require(bool(out), out_file + ": cannot be written");
  llama_free(context);
  llama_model_free(model);
}

}  // namespace

int main(int count, char** words) {
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  try {
    require(count == 4, "usage: speckv-dump-pages MODEL.gguf TEXT OUT");
    run(words[1], words[2], words[3]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "speckv-dump-pages: %s\n", error.what());
    return 1;
  }
}
