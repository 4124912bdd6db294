// SPDX-License-Identifier: Apache-2.0
// speckv_calibrate.cpp - speckv-calibrate: one text through a GGUF model, one table of bit widths'
// weights out. The daemon reads it from its [daemon] tables folder. --validate: what each preset
// costs with a table, on texts of the user's.
//
// Does: load the model, measure (adapters/llama), write FILE or print. Never talks to a daemon.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "llama/calibration.hpp"
#include "llama/lossy_text.hpp"
#include "speckv/speckv.h"

namespace {

using namespace speckv;

constexpr uint32_t skipped_tokens = 256;

constexpr const char* usage =
    "usage: speckv-calibrate MODEL.gguf TEXT --out TABLE.chan [--no-queries] [--tokens N]\n"
    "                        [--page-tokens N] [--threads N]\n"
    "       speckv-calibrate MODEL.gguf --validate TABLE.chan TEXT... [--tokens N] [--threads N]\n"
    "Measures E[q^2] and K's residual variance on the first N (2048) tokens of TEXT;\n"
    "--no-queries: the variance alone. --validate: what each preset costs on the first N tokens\n"
    "of each TEXT, beside the fp16-KV run of the same weights.\n";

struct Arguments {
  std::string model, out, table;
  std::vector<std::string> texts;
  llama::CalibrationOptions options;
};

bool number(const char* word, long low, long high, long* ret_value) {
  char* end = nullptr;
  *ret_value = std::strtol(word, &end, 10);
  return *word && !*end && *ret_value >= low && *ret_value <= high;
}

bool page_tokens(const char* word, long* ret_value) {
  return number(word, 16, 64, ret_value) && (*ret_value & (*ret_value - 1)) == 0;
}

bool parse(int count, char** words, Arguments* ret) {
  long value = 0;
  for (int i = 1; i < count; i++) {
    const std::string word = words[i];
    const bool more = i + 1 < count;
    if (word == "--out" && more) {
      ret->out = words[++i];
    } else if (word == "--validate" && more) {
      ret->table = words[++i];
    } else if (word == "--no-queries") {
      ret->options.queries = false;
    } else if (word == "--tokens" && more && number(words[i + 1], 128, 1 << 20, &value)) {
      ret->options.tokens_max = uint32_t(value), i++;
    } else if (word == "--page-tokens" && more && page_tokens(words[i + 1], &value)) {
      ret->options.page_tokens = uint32_t(value), i++;
    } else if (word == "--threads" && more && number(words[i + 1], 1, 256, &value)) {
      ret->options.threads = int(value), i++;
    } else if (word.rfind("--", 0) == 0) {
      std::fprintf(stderr, "speckv-calibrate: unknown or incomplete argument %s\n", word.c_str());
      return false;
    } else if (ret->model.empty()) {
      ret->model = word;
    } else {
      ret->texts.push_back(word);
    }
  }
  const bool validating = !ret->table.empty();
  return !ret->model.empty() && ret->out.empty() == validating &&
         (validating ? !ret->texts.empty() : ret->texts.size() == 1);
}

int fail(const std::string& why) {
  std::fprintf(stderr, "speckv-calibrate: %s\n", why.c_str());
  return 1;
}

// nullptr when llama.cpp cannot load it.
using Model = std::unique_ptr<llama_model, decltype(&llama_model_free)>;
Model load(const std::string& path) {
  return {llama_model_load_from_file(path.c_str(), llama_model_default_params()), llama_model_free};
}

// A row for each preset, with the table, and q8, which needs none.
int validate(const Arguments& arguments) {
  if (arguments.options.tokens_max <= skipped_tokens)
    return fail("--validate needs more than 256 --tokens: earlier positions are not counted");
  const codec::ChanWeights weights = llama::read_table(arguments.table, arguments.model);
  const Model model = load(arguments.model);
  if (!model) return fail(arguments.model + ": not a model that this llama.cpp can load");
  std::vector<llama::Variant> variants;
  for (uint32_t preset : {SPECKV_PRESET_Q8, SPECKV_PRESET_NEAR_LOSSLESS, SPECKV_PRESET_BALANCED,
                          SPECKV_PRESET_COMPACT, SPECKV_PRESET_TIGHT})
    variants.push_back({.name = std::string(codec::preset_name(preset)),
                        .preset = preset,
                        .weights = &weights,
                        .page_tokens = std::max(arguments.options.page_tokens, 32u)});
  llama::LossyText text(model.get(), variants, arguments.options.tokens_max, skipped_tokens,
                        arguments.options.threads);
  for (const std::string& path : arguments.texts)
    if (!text.add(llama::tokenize(model.get(), llama::read_text(path))))
      return fail(path + " is shorter than " + std::to_string(arguments.options.tokens_max + 1) +
                  " tokens; give longer text or fewer --tokens");
  std::printf("%u texts, %u tokens each, positions from %u on.\n\n", text.documents(),
              arguments.options.tokens_max, skipped_tokens);
  llama::print_head(stdout);
  for (size_t i = 0; i < variants.size(); i++)
    llama::print_row(stdout, variants[i].name, text.ratio(i), text.summary(i));
  return 0;
}

int calibrate(const Arguments& arguments) {
  const std::string text = llama::read_text(arguments.texts[0]);
  codec::ChanWeights weights;
  const int digest = speckv_file_digest(arguments.model.c_str(), weights.weights_digest);
  if (digest != 0) return fail(arguments.model + ": " + std::strerror(-digest));
  const Model model = load(arguments.model);
  if (!model) return fail(arguments.model + ": not a model that this llama.cpp can load");
  std::string why;
  if (!llama::calibrate(model.get(), llama::tokenize(model.get(), text), arguments.options,
                        &weights, &why))
    return fail(why);
  if (!why.empty()) std::fprintf(stderr, "speckv-calibrate: note: %s\n", why.c_str());
  const std::vector<std::byte> table = codec::write_chan_weights(weights);
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
  try {
    return arguments.table.empty() ? calibrate(arguments) : validate(arguments);
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}
