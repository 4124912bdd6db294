// SPDX-License-Identifier: Apache-2.0
// main.cpp - speckv-quality [loss|greedy|passkey] MODEL.gguf --row WORDS... [--tokens N]
// [--threads N] [--save FILE] TEXT...
//
// Each text is one document. `loss` (the default): every row walks over it beside the fp16-KV run;
// `greedy`: where each row's greedy answer first differs; `passkey`: how many keys, hidden in the
// text, it still finds. Prints Markdown; progress goes to stderr.
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "answers.hpp"
#include "llama/lossy_rows.hpp"

namespace speckv::quality {
namespace {

constexpr uint32_t skipped_tokens = 256;

struct Arguments {
  std::string mode = "loss", model, save;
  uint32_t tokens = 2048;
  int threads = 2;
  std::vector<std::string> rows, texts;
};

Arguments parse(int count, char** words) {
  Arguments arguments;
  for (int i = 1; i < count; i++) {
    const std::string word = words[i];
    const bool more = i + 1 < count;
    if (word == "--row" && more) {
      arguments.rows.emplace_back(words[++i]);
    } else if (word == "--tokens" && more) {
      arguments.tokens = uint32_t(std::atoi(words[++i]));
    } else if (word == "--save" && more) {
      arguments.save = words[++i];
    } else if (word == "--threads" && more) {
      arguments.threads = std::atoi(words[++i]);
    } else if (i == 1 && (word == "loss" || word == "greedy" || word == "passkey")) {
      arguments.mode = word;
    } else if (arguments.model.empty()) {
      arguments.model = word;
    } else {
      arguments.texts.push_back(word);
    }
  }
  if (arguments.texts.empty() || arguments.rows.empty() || arguments.tokens <= skipped_tokens ||
      arguments.tokens > 1u << 20 || arguments.threads < 1)
    throw std::runtime_error(
        "usage: speckv-quality [loss|greedy|passkey] MODEL.gguf --row WORDS... [--tokens N > 256] "
        "[--threads N] [--save FILE] TEXT...");
  return arguments;
}

void print_table(std::FILE* out, const llama::LossyText& text, uint32_t tokens) {
  std::fprintf(out, "%u documents, %u tokens each, positions from %u on.\n\n", text.documents(),
               tokens, skipped_tokens);
  llama::print_head(out);
  for (size_t i = 0; i < text.variants().size(); i++)
    llama::print_row(out, text.variants()[i].name, text.ratio(i), text.summary(i));
}

// The table so far: a run of hours that is cut short still says what it has.
void save(const std::string& path, const llama::LossyText& text, uint32_t tokens) {
  std::FILE* out = path.empty() ? nullptr : std::fopen(path.c_str(), "w");
  if (!out) return;
  print_table(out, text, tokens);
  std::fclose(out);
}

void loss_table(llama_model* model, const Arguments& arguments,
                const std::vector<llama::Variant>& rows) {
  llama::LossyText text(model, rows, arguments.tokens, skipped_tokens, arguments.threads);
  for (const std::string& path : arguments.texts) {
    const bool counted = text.add(llama::tokenize(model, llama::read_text(path)));
    std::fprintf(stderr, "quality: %s %s\n", path.c_str(), counted ? "done" : "too short");
    if (counted) save(arguments.save, text, arguments.tokens);
  }
  if (!text.documents()) throw std::runtime_error("every text is shorter than --tokens");
  print_table(stdout, text, arguments.tokens);
}

int run(const Arguments& arguments) {
  llama::Rows parser(arguments.model);
  std::vector<llama::Variant> rows;
  for (const std::string& word : arguments.rows) rows.push_back(parser.parse(word));
  llama_model* model =
      llama_model_load_from_file(arguments.model.c_str(), llama_model_default_params());
  if (!model) throw std::runtime_error(arguments.model + ": not a model this llama.cpp can load");
  if (arguments.mode == "loss") loss_table(model, arguments, rows);
  if (arguments.mode == "greedy")
    print_divergence(model, rows, arguments.texts, arguments.tokens, arguments.threads);
  if (arguments.mode == "passkey")
    print_passkeys(model, rows, arguments.texts, arguments.tokens, arguments.threads);
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
