// SPDX-License-Identifier: Apache-2.0
// main.cpp - speckv-quality MODEL.gguf --table FILE [--tokens N] [--threads N] TEXT...
//
// Each text is one document. All variants walk over it side by side, page by page, against the
// fp16-KV run of the same weights. Prints a Markdown table; progress goes to stderr.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "lossy_context.hpp"
#include "statistics.hpp"

namespace speckv::quality {
namespace {

constexpr uint32_t page_tokens = 32;
constexpr uint32_t skipped_tokens = 256;  // too little past to tell presets apart

struct Arguments {
  std::string model, table;
  uint32_t tokens = 2048;
  int threads = 2;
  std::vector<std::string> texts;
};

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + ": cannot be read");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Arguments parse(int count, char** words) {
  Arguments arguments;
  for (int i = 1; i < count; i++) {
    const std::string word = words[i];
    if (word == "--table" && i + 1 < count) {
      arguments.table = words[++i];
    } else if (word == "--tokens" && i + 1 < count) {
      arguments.tokens = uint32_t(std::atoi(words[++i])) / page_tokens * page_tokens;
    } else if (word == "--threads" && i + 1 < count) {
      arguments.threads = std::atoi(words[++i]);
    } else if (arguments.model.empty()) {
      arguments.model = word;
    } else {
      arguments.texts.push_back(word);
    }
  }
  if (arguments.texts.empty() || arguments.tokens <= skipped_tokens || arguments.threads < 1)
    throw std::runtime_error(
        "usage: speckv-quality MODEL.gguf [--table FILE] [--tokens N > 256] [--threads N] TEXT...");
  return arguments;
}

std::vector<Variant> variants(const codec::ChanWeights* weights) {
  std::vector<Variant> all{{"q8", SPECKV_PRESET_Q8, nullptr, GGML_TYPE_F16}};
  for (uint32_t preset : {SPECKV_PRESET_NEAR_LOSSLESS, SPECKV_PRESET_BALANCED,
                          SPECKV_PRESET_COMPACT, SPECKV_PRESET_TIGHT}) {
    const std::string name(codec::preset_name(preset));
    if (weights) all.push_back({name, preset, weights, GGML_TYPE_F16});
    all.push_back({name + ", no table", preset, nullptr, GGML_TYPE_F16});
  }
  all.push_back({"ggml q8_0 cache", 0, nullptr, GGML_TYPE_Q8_0});
  all.push_back({"ggml q5_0 cache", 0, nullptr, GGML_TYPE_Q5_0});
  all.push_back({"ggml q4_0 cache", 0, nullptr, GGML_TYPE_Q4_0});
  return all;
}

double ggml_ratio(ggml_type type) {
  return 2.0 * double(ggml_blck_size(type)) / double(ggml_type_size(type));
}

std::vector<llama_token> tokenize(const llama_model* model, const std::string& text) {
  std::vector<llama_token> tokens(text.size() + 2);
  const int count = llama_tokenize(llama_model_get_vocab(model), text.data(), int32_t(text.size()),
                                   tokens.data(), int32_t(tokens.size()), true, false);
  tokens.resize(count > 0 ? size_t(count) : 0);
  return tokens;
}

using Contexts = std::vector<std::unique_ptr<LossyContext>>;

// Adds one document to every variant's losses. Returns: false when the text is too short.
bool measure(const std::vector<llama_token>& tokens, uint32_t count, uint32_t vocabulary,
             LossyContext& reference, Contexts& contexts, std::vector<std::vector<Loss>>* losses) {
  if (tokens.size() < count + 1) return false;
  reference.clear();
  for (auto& context : contexts) context->clear();
  for (auto& documents : *losses) documents.emplace_back();
  for (uint32_t first = 0; first < count; first += page_tokens) {
    const auto page = std::span(tokens).subspan(first, page_tokens);
    const std::span<const float> exact = reference.step(page);
    for (size_t i = 0; i < contexts.size(); i++) {
      const std::span<const float> got = contexts[i]->step(page);
      if (first < skipped_tokens) continue;
      for (uint32_t t = 0; t < page_tokens; t++)
        (*losses)[i].back().add(exact.subspan(size_t(t) * vocabulary, vocabulary),
                                got.subspan(size_t(t) * vocabulary, vocabulary),
                                tokens[first + t + 1]);
    }
    std::fprintf(stderr, "\rquality: token %u of %u ", first + page_tokens, count);
  }
  return true;
}

void print(const std::vector<Variant>& all, const Contexts& contexts,
           const std::vector<std::vector<Loss>>& losses) {
  std::printf("| KV | ratio | mean KLD ± SE | 99 %% KLD | same top-1 | Δ ln PPL ± SE |\n");
  std::printf("|---|---|---|---|---|---|\n");
  for (size_t i = 0; i < all.size(); i++) {
    const Summary s = summarise(losses[i]);
    const double ratio = all[i].preset ? contexts[i]->ratio() : ggml_ratio(all[i].kv_type);
    std::printf("| %s | %.2f | %.5f ± %.5f | %.4f | %.2f ± %.2f %% | %+.2f ± %.2f %% |\n",
                all[i].name.c_str(), ratio, s.kld, s.kld_se, s.kld_p99, 100 * s.top1,
                100 * s.top1_se, 100 * s.ln_ppl, 100 * s.ln_ppl_se);
  }
}

int run(const Arguments& arguments) {
  llama_model* model =
      llama_model_load_from_file(arguments.model.c_str(), llama_model_default_params());
  if (!model) throw std::runtime_error(arguments.model + ": not a model this llama.cpp can load");
  codec::ChanWeights weights;
  if (!arguments.table.empty()) {
    const std::string file = read_file(arguments.table);
    std::string why;
    if (!codec::parse_chan_weights(std::as_bytes(std::span(file)), &weights, &why))
      throw std::runtime_error(arguments.table + ": " + why);
    uint8_t digest[SPECKV_DIGEST_BYTES];
    if (speckv_file_digest(arguments.model.c_str(), digest) != 0 ||
        !std::equal(digest, digest + SPECKV_DIGEST_BYTES, weights.weights_digest))
      throw std::runtime_error(arguments.table + " was not measured on " + arguments.model);
  }
  const auto all = variants(arguments.table.empty() ? nullptr : &weights);
  const Variant exact{"fp16", 0, nullptr, GGML_TYPE_F16};
  LossyContext reference(model, exact, arguments.tokens, page_tokens, arguments.threads);
  Contexts contexts;
  for (const Variant& variant : all)
    contexts.push_back(std::make_unique<LossyContext>(model, variant, arguments.tokens, page_tokens,
                                                      arguments.threads));
  std::vector<std::vector<Loss>> losses(all.size());
  const auto vocabulary = uint32_t(llama_vocab_n_tokens(llama_model_get_vocab(model)));
  uint32_t documents = 0;
  for (const std::string& text : arguments.texts) {
    const auto tokens = tokenize(model, read_file(text));
    const bool long_enough =
        measure(tokens, arguments.tokens, vocabulary, reference, contexts, &losses);
    documents += long_enough;
    std::fprintf(stderr, "\rquality: %s %s\n", text.c_str(), long_enough ? "done" : "too short");
  }
  if (!documents) throw std::runtime_error("every text is shorter than --tokens");
  std::printf("%u documents, %u tokens each, positions from %u on.\n\n", documents,
              arguments.tokens, skipped_tokens);
  print(all, contexts, losses);
  contexts.clear();
  return 0;
}

}  // namespace
}  // namespace speckv::quality

int main(int count, char** words) {
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
      },
      nullptr);
  try {
    return speckv::quality::run(speckv::quality::parse(count, words));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "speckv-quality: %s\n", error.what());
    return 1;
  }
}
