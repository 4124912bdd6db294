// SPDX-License-Identifier: Apache-2.0
// speckv_calibrate.cpp - speckv-calibrate: one text through a GGUF model, one table of bit widths'
// weights out. The daemon reads it from its [daemon] tables folder.
//
// Does: load the model, measure (adapters/llama/calibration.hpp), write FILE. Never talks to a
// daemon. What a table is worth on your own text: `make quality`.
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "llama/calibration.hpp"
#include "speckv/speckv.h"

namespace {

constexpr const char* usage =
    "usage: speckv-calibrate MODEL.gguf TEXT --out TABLE.chan [--tokens N] [--page-tokens N] "
    "[--threads N]\n"
    "Measures E[q^2] and K's residual variance on the first N (2048) tokens of TEXT.\n";

struct Arguments {
  std::string model, text, out;
  speckv::llama::CalibrationOptions options;
};

bool number(const char* word, long low, long high, long* ret_value) {
  char* end = nullptr;
  *ret_value = std::strtol(word, &end, 10);
  return *word && !*end && *ret_value >= low && *ret_value <= high;
}

bool parse(int count, char** words, Arguments* ret) {
  long value = 0;
  for (int i = 1; i < count; i++) {
    const std::string word = words[i];
    const bool more = i + 1 < count;
    if (word == "--out" && more) {
      ret->out = words[++i];
    } else if (word == "--tokens" && more && number(words[i + 1], 128, 1 << 20, &value)) {
      ret->options.tokens_max = uint32_t(value), i++;
    } else if (word == "--page-tokens" && more && number(words[i + 1], 16, 64, &value)) {
      ret->options.page_tokens = uint32_t(value), i++;
    } else if (word == "--threads" && more && number(words[i + 1], 1, 256, &value)) {
      ret->options.threads = int(value), i++;
    } else if (word.rfind("--", 0) == 0) {
      std::fprintf(stderr, "speckv-calibrate: unknown or incomplete argument %s\n", word.c_str());
      return false;
    } else if (ret->model.empty()) {
      ret->model = word;
    } else if (ret->text.empty()) {
      ret->text = word;
    } else {
      std::fprintf(stderr, "speckv-calibrate: one argument too many: %s\n", word.c_str());
      return false;
    }
  }
  return !ret->model.empty() && !ret->text.empty() && !ret->out.empty();
}

int fail(const std::string& why) {
  std::fprintf(stderr, "speckv-calibrate: %s\n", why.c_str());
  return 1;
}

std::vector<llama_token> tokenize(const llama_model* model, const std::string& text) {
  std::vector<llama_token> tokens(text.size() + 2);
  const int count = llama_tokenize(llama_model_get_vocab(model), text.data(), int32_t(text.size()),
                                   tokens.data(), int32_t(tokens.size()), true, false);
  tokens.resize(count > 0 ? size_t(count) : 0);
  return tokens;
}

int run(const Arguments& arguments) {
  std::ifstream file(arguments.text, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) return fail(arguments.text + ": cannot be read");
  speckv::codec::ChanWeights weights;
  const int digest = speckv_file_digest(arguments.model.c_str(), weights.weights_digest);
  if (digest != 0) return fail(arguments.model + ": " + std::strerror(-digest));
  llama_model* model =
      llama_model_load_from_file(arguments.model.c_str(), llama_model_default_params());
  if (!model) return fail(arguments.model + ": not a model that this llama.cpp can load");
  std::string why;
  const bool done =
      speckv::llama::calibrate(model, tokenize(model, text), arguments.options, &weights, &why);
  llama_model_free(model);
  if (!done) return fail(why);
  const std::vector<std::byte> table = speckv::codec::write_chan_weights(weights);
  std::ofstream out(arguments.out, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(table.data()), std::streamsize(table.size()));
  out.close();
  if (!out) return fail(arguments.out + ": cannot be written");
  std::printf("%s: %zu bytes, %u layers, %u kv heads, %u pairs\n", arguments.out.c_str(),
              table.size(), weights.layers, weights.kv_heads, weights.pairs);
  return 0;
}

}  // namespace

int main(int count, char** words) {
  Arguments arguments;
  if (!parse(count, words, &arguments)) return std::fputs(usage, stderr), 2;
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
      },
      nullptr);
  return run(arguments);
}
