// SPDX-License-Identifier: Apache-2.0
// speckv_calibrate.cpp - speckv-calibrate: one text through a GGUF model, one table of bit widths'
// weights out. The daemon reads it from its [daemon] tables folder. --validate: what each preset
// costs with a table, on texts of the user's. --to-f16: the model with F16 weights.
//
// Does: load the model, measure (adapters/llama), write FILE or print. Never talks to a daemon.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "calibrate_arguments.hpp"
#include "calibrate_progress.hpp"
#include "llama/calibration.hpp"
#include "llama/lossy_rows.hpp"
#include "llama/lossy_text.hpp"
#include "llama/weights.hpp"

namespace {

using namespace speckv;
using calibrate::Arguments;
using calibrate::kSkippedTokens;

int fail(const std::string& why) {
  std::fprintf(stderr, "speckv-calibrate: %s\n", why.c_str());
  return 1;
}

void note(const std::string& what) {
  std::fprintf(stderr, "speckv-calibrate: note: %s\n", what.c_str());
}

// nullptr when llama.cpp cannot load it.
using Model = std::unique_ptr<llama_model, decltype(&llama_model_free)>;
Model load(const std::string& path) {
  return {llama_model_load_from_file(path.c_str(), llama_model_default_params()), llama_model_free};
}

// Whether the weights are of fewer than 16 bits: the engine then rounds activations as well.
bool quantized(const llama_model* model) {
  char type[16] = "";
  if (llama_model_meta_val_str(model, "general.file_type", type, sizeof type) < 0) return true;
  const std::string found = type;
  return found != "0" && found != "1" && found != "32";  // F32, F16, BF16
}

// The user's rows, or each preset with the table and q8, which needs none; last what any change of
// K and V at all costs here, by the engine's own rounding.
std::vector<llama::Variant> variants(const Arguments& arguments, const codec::ChanWeights& weights,
                                     llama::Rows* rows) {
  std::vector<llama::Variant> all;
  const uint32_t pages = std::max(arguments.options.page_tokens, 32u);
  for (const std::string& word : arguments.rows) all.push_back(rows->parse(word));
  for (llama::Variant& variant : all)
    if (!variant.weights && variant.preset) variant.weights = &weights;
  if (all.empty())
    for (uint32_t preset : {SPECKV_PRESET_Q8, SPECKV_PRESET_NEAR_LOSSLESS, SPECKV_PRESET_BALANCED,
                            SPECKV_PRESET_COMPACT, SPECKV_PRESET_TIGHT})
      all.push_back({.name = std::string(codec::preset_name(preset)),
                     .preset = preset,
                     .weights = &weights,
                     .page_tokens = pages});
  all.push_back({.name = "floor: lowest bits flipped",
                 .preset = SPECKV_PRESET_EXACT,
                 .page_tokens = pages,
                 .noise = 1});
  return all;
}

struct Text {
  std::string path;
  std::vector<llama_token> tokens;
};

// Texts that are long enough; what is not is named before any work is done.
std::vector<Text> read_texts(const Arguments& arguments, const llama_model* model) {
  std::vector<Text> texts;
  const uint32_t wanted = arguments.options.tokens_max + 1;
  for (const std::string& path : arguments.texts) {
    Text text{path, llama::tokenize(model, llama::read_text(path))};
    if (text.tokens.size() >= wanted) {
      texts.push_back(std::move(text));
      continue;
    }
    note(path + " has " + std::to_string(text.tokens.size()) + " tokens and is shorter than the " +
         std::to_string(wanted) + " needed; it is left out");
  }
  return texts;
}

void explain_floor(const llama_model* model, const std::string& path) {
  std::printf(
      "\nThe floor is what flipping the lowest bit of every value costs: nothing that stores "
      "K and V can be told\nfrom less. What a preset has above it is the preset's own.\n");
  if (!quantized(model)) return;
  char words[128] = "";
  llama_model_desc(model, words, sizeof words);
  std::printf(
      "These weights are quantized (%s), so the engine rounds activations, too, and the "
      "floor is high. To see\nthe presets alone, make F16 weights of them, calibrate and "
      "validate those:\n    speckv-calibrate %s --to-f16 FILE.gguf\n",
      words, path.c_str());
}

int validate(const Arguments& arguments) {
  const codec::ChanWeights weights = llama::read_table(arguments.table, arguments.model);
  const Model model = load(arguments.model);
  if (!model) return fail(arguments.model + ": not a model that this llama.cpp can load");
  const std::vector<Text> texts = read_texts(arguments, model.get());
  if (texts.empty())
    return fail("every text is shorter than " + std::to_string(arguments.options.tokens_max + 1) +
                " tokens; give longer text or fewer --tokens");
  llama::Rows rows(arguments.model);
  const std::vector<llama::Variant> all = variants(arguments, weights, &rows);
  llama::LossyText text(model.get(), all, arguments.options.tokens_max, kSkippedTokens,
                        arguments.options.threads);
  calibrate::Progress progress(uint32_t(texts.size()), arguments.options.tokens_max);
  for (const Text& each : texts) {
    if (!text.add(each.tokens, [&](uint32_t tokens) { progress.show(tokens); }))
      return fail(each.path + " is too short");  // read_texts() left those out
    progress.next();
  }
  progress.end();
  std::printf("%u text%s, %u tokens each, positions from %u on.\n\n", text.documents(),
              text.documents() == 1 ? "" : "s", arguments.options.tokens_max, kSkippedTokens);
  llama::print_head(stdout);
  bool broken = false;
  for (size_t i = 0; i < all.size(); i++) {
    llama::print_row(stdout, all[i].name, text.ratio(i), text.summary(i));
    broken = broken || text.summary(i).broken > 0;
  }
  if (broken) return fail("logits are not finite (NaN or infinity) in a row above");
  explain_floor(model.get(), arguments.model);
  return 0;
}

int measure(const Arguments& arguments) {
  const std::string text = llama::read_text(arguments.texts[0]);
  codec::ChanWeights weights;
  std::string why;
  if (!llama::weights_digest(arguments.model, weights.weights_digest, &why)) return fail(why);
  const Model model = load(arguments.model);
  if (!model) return fail(arguments.model + ": not a model that this llama.cpp can load");
  if (!llama::calibrate(model.get(), llama::tokenize(model.get(), text), arguments.options,
                        &weights, &why))
    return fail(why);
  if (!why.empty()) note(why);
  const std::vector<std::byte> table = codec::write_chan_weights(weights);
  std::ofstream out(arguments.out, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(table.data()), std::streamsize(table.size()));
  out.close();
  if (!out) {
    std::remove(arguments.out.c_str());
    return fail(arguments.out + ": cannot be written");
  }
  std::printf("%s: %zu bytes, %u layers, %u kv heads, %u pairs\n", arguments.out.c_str(),
              table.size(), weights.layers, weights.kv_heads, weights.pairs);
  return 0;
}

// llama.cpp's own converter.
int convert(const Arguments& arguments) {
  llama_model_quantize_params params = llama_model_quantize_default_params();
  params.ftype = LLAMA_FTYPE_MOSTLY_F16;
  params.allow_requantize = true;
  params.nthread = arguments.options.threads;
  if (llama_model_quantize(arguments.model.c_str(), arguments.to_f16.c_str(), &params) != 0)
    return fail("llama.cpp could not convert " + arguments.model);
  std::printf("%s: %s with F16 weights; it needs a table of its own\n", arguments.to_f16.c_str(),
              arguments.model.c_str());
  return 0;
}

}  // namespace

int main(int count, char** words) {
  Arguments arguments;
  std::string why;
  if (!calibrate::parse(count, words, &arguments, &why)) {
    std::fprintf(stderr, "speckv-calibrate: %s (speckv-calibrate --help)\n", why.c_str());
    return 2;
  }
  if (arguments.help) return std::fputs(calibrate::kUsage, stdout), 0;
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
      },
      nullptr);
  try {
    if (!arguments.to_f16.empty()) return convert(arguments);
    return arguments.table.empty() ? measure(arguments) : validate(arguments);
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}
