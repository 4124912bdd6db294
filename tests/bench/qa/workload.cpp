// SPDX-License-Identifier: Apache-2.0
// workload.cpp - see workload.hpp.
#include "workload.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <random>
#include <sstream>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "speckv/speckv.h"

namespace speckv::qa {

namespace {

toml::table parse(const std::string& file) {
  toml::parse_result result = toml::parse_file(file);
  if (!result) {
    std::ostringstream text;
    text << result.error();
    throw Failure(file + ": " + text.str());
  }
  return std::move(result).table();
}

template <typename T>
T value_of(const toml::table& root, const std::string& file, const char* table, const char* key) {
  const std::optional<T> found = root[table][key].value<T>();
  if (!found) {
    throw Failure(file + ": [" + table + "] " + key + " is missing or of the wrong type");
  }
  return *found;
}

std::string hex(const uint8_t* bytes, size_t count) {
  static const char digits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    text += digits[bytes[i] >> 4];
    text += digits[bytes[i] & 15];
  }
  return text;
}

std::string read_text(const std::string& path, const std::string& sha256) {
  uint8_t digest[SPECKV_DIGEST_BYTES];
  if (speckv_file_digest(path.c_str(), digest) != 0) {
    throw Failure("cannot read '" + path + "'; tests/bench/engine/setup puts it there");
  }
  if (hex(digest, sizeof(digest)) != sha256) {
    throw Failure("'" + path + "' is not the text that qa.toml was frozen with (SHA-256 " +
                  hex(digest, sizeof(digest)) + ", expected " + sha256 + ")");
  }
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// Each round asks every session once, in shuffled order; no session twice in a row, since its KV
// would still be in the engine and no arm would be needed.
std::vector<Turn> make_turns(const Scale& scale, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Turn> turns;
  std::vector<uint32_t> order(scale.sessions);
  for (uint32_t i = 0; i < scale.sessions; ++i) order[i] = i;
  for (uint32_t round = 0; round < scale.rounds; ++round) {
    do {
      // written out: the standard library's shuffle is not the same everywhere
      for (uint32_t i = scale.sessions - 1; i > 0; --i)
        std::swap(order[i], order[random() % (i + 1)]);
    } while (!turns.empty() && turns.back().session == order[0]);
    for (uint32_t session : order) turns.push_back({session, round});
  }
  return turns;
}

// The answers' length whose total is nearest to input / input_per_output; the input holds earlier
// answers.
void fit_answer(Workload* load) {
  double best = 1e300;
  for (uint32_t tokens = 2; tokens <= 512; ++tokens) {
    Workload trial = *load;
    trial.answer_tokens = tokens;
    const double ratio = double(trial.input_tokens()) / double(trial.output_tokens());
    const double miss = std::abs(ratio - load->input_per_output);
    if (miss < best) {
      best = miss;
      load->answer_tokens = tokens;
    }
  }
}

}  // namespace

uint32_t Workload::prompt_tokens(uint32_t round) const {
  uint32_t tokens = scale.document_tokens + round * answer_tokens;
  for (uint32_t i = 0; i <= round; ++i) tokens += uint32_t(questions[i].size());
  return tokens;
}

uint64_t Workload::input_tokens() const {
  uint64_t tokens = 0;
  for (const Turn& turn : turns) tokens += prompt_tokens(turn.round);
  return tokens;
}

Workload read_workload(const std::string& file, const std::string& scale) {
  const toml::table root = parse(file);
  const auto number = [&](const char* table, const char* key) {
    const int64_t value = value_of<int64_t>(root, file, table, key);
    if (value < 0 || value > 1 << 30) {
      throw Failure(file + ": [" + table + "] " + key + " is " + std::to_string(value) +
                    ", expected 0 to 2^30");
    }
    return uint32_t(value);
  };
  Workload load;
  load.name = scale;
  const char* part = load.name.c_str();
  load.scale = {number(part, "sessions"), number(part, "rounds"), number(part, "document_tokens"),
                number(part, "quality_documents"), number(part, "fresh_prompts")};
  load.model_file = value_of<std::string>(root, file, "model", "file");
  load.engine.threads = int(number("engine", "threads"));
  load.engine.ubatch = number("engine", "ubatch");
  load.engine.flash_attention = value_of<bool>(root, file, "engine", "flash_attention");
  load.block_tokens = number("speckv", "block_tokens");
  load.page_tokens = number("speckv", "page_tokens");
  load.seed = number("load", "seed");
  load.input_per_output = value_of<double>(root, file, "load", "input_per_output");
  load.pool_share = value_of<double>(root, file, "load", "pool_share");
  load.quality_model_file = value_of<std::string>(root, file, "quality", "model");
  load.quality_first_block = number("quality", "first_block");
  load.quality_windows = number("quality", "windows");
  if (load.scale.sessions < 2 || load.scale.rounds < 1 || load.block_tokens == 0) {
    throw Failure(file + ": needs at least two sessions, one round and a block of one token");
  }
  return load;
}

void load_texts(const std::string& file, const std::string& text_folder, const Model& model,
                Workload* workload) {
  const toml::table root = parse(file);
  const uint32_t wanted = std::max(workload->scale.sessions, workload->scale.quality_documents);
  const uint32_t quality_tokens =
      (workload->quality_first_block + workload->quality_windows) * workload->block_tokens;
  const uint32_t tokens = std::max(workload->scale.document_tokens, quality_tokens);
  const toml::array* documents = root["document"].as_array();
  for (uint32_t i = 0; i < wanted; ++i) {
    const toml::table* entry =
        documents != nullptr && i < documents->size() ? (*documents)[i].as_table() : nullptr;
    if (entry == nullptr) {
      throw Failure(file + ": " + std::to_string(wanted) + " [[document]]s are needed");
    }
    const std::string path =
        text_folder + "/" + (*entry)["file"].value_or(std::string("no file given"));
    const std::string text = read_text(path, (*entry)["sha256"].value_or(std::string()));
    workload->documents.push_back(model.tokenize(text, true));
    if (workload->documents.back().size() < tokens) {
      throw Failure("'" + path + "' has fewer than " + std::to_string(tokens) + " tokens");
    }
    workload->documents.back().resize(tokens);
  }
  const toml::array* questions = root["load"]["questions"].as_array();
  if (questions == nullptr || questions->size() < workload->scale.rounds) {
    throw Failure(file + ": one question a round is needed in [load] questions");
  }
  for (uint32_t i = 0; i < workload->scale.rounds; ++i) {
    const std::string question = (*questions)[i].value_or(std::string("?"));
    workload->questions.push_back(model.tokenize("\n\nQuestion: " + question + "\nAnswer:", false));
  }
  workload->turns = make_turns(workload->scale, workload->seed);
  fit_answer(workload);
}

}  // namespace speckv::qa
