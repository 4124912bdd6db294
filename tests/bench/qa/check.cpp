// SPDX-License-Identifier: Apache-2.0
// check.cpp - see check.hpp.
#include "check.hpp"

#include <cstring>

#include "llama/sequence.hpp"

namespace speckv::qa {

namespace {

constexpr uint32_t kDocuments = 2;
constexpr uint32_t kDocumentTokens = 200;  // three full blocks and a rest
constexpr uint32_t kAnswerTokens = 16;

struct History {
  Tokens tokens;                // whose KV the engine holds
  Tokens next_prompt;           // tokens, and what comes next
  std::vector<std::byte> blob;  // the engine's own saved state
  llama::StateMap map;
};

History first_round(const Workload& load, Context& context, const llama::StateShape& shape,
                    uint32_t document) {
  History history;
  Tokens prompt = load.documents[document];
  prompt.resize(kDocumentTokens);
  prompt.insert(prompt.end(), load.questions[0].begin(), load.questions[0].end());
  context.clear();
  const Tokens said = answer(context, 0, prompt, 0, kAnswerTokens, [] {});
  history.tokens = prompt;
  history.tokens.insert(history.tokens.end(), said.begin(), said.end() - 1);
  history.next_prompt = prompt;
  history.next_prompt.insert(history.next_prompt.end(), said.begin(), said.end());
  const Tokens& question = load.questions[1 % load.questions.size()];
  history.next_prompt.insert(history.next_prompt.end(), question.begin(), question.end());
  const uint32_t count = uint32_t(history.tokens.size());
  history.blob.resize(llama::state_bytes(shape, count));
  std::string why;
  if (!llama::save_tokens(context.get(), shape, 0, -1, 0, count, history.blob, &history.map, &why,
                          llama::Moved::no)) {
    throw Failure(why);
  }
  return history;
}

Tokens answer_from(Context& context, std::span<const std::byte> blob, uint32_t known,
                   const Tokens& prompt) {
  context.clear();
  std::string why;
  if (!llama::restore_tokens(context.get(), blob, 0, known, &why)) throw Failure(why);
  return answer(context, 0, prompt, known, kAnswerTokens, [] {});
}

bool same_values(const speckv_view& a, const speckv_view& b, const llama::StateShape& shape,
                 uint32_t tokens) {
  const auto* from_a = static_cast<const std::byte*>(a.base);
  const auto* from_b = static_cast<const std::byte*>(b.base);
  for (uint32_t token = 0; token < tokens; ++token) {
    for (uint32_t head = 0; head < shape.kv_heads; ++head) {
      for (uint32_t channel = 0; channel < shape.head_dim; ++channel) {
        const int64_t at_a =
            token * a.token_stride + head * a.head_stride + channel * a.channel_stride;
        const int64_t at_b =
            token * b.token_stride + head * b.head_stride + channel * b.channel_stride;
        if (std::memcmp(from_a + at_a, from_b + at_b, 2) != 0) return false;
      }
    }
  }
  return true;
}

bool same_bytes(const llama::StateMap& a, const llama::StateMap& b, uint32_t tokens) {
  for (uint32_t layer = 0; layer < a.shape().layers; ++layer) {
    if (!same_values(a.k(layer, 0), b.k(layer, 0), a.shape(), tokens)) return false;
    if (!same_values(a.v(layer, 0), b.v(layer, 0), a.shape(), tokens)) return false;
  }
  return true;
}

}  // namespace

std::string CheckResult::sentence() const {
  const std::string of = " of " + std::to_string(sequences);
  return "answers equal to the engine's own restored state: " + std::to_string(answers_equal) + of +
         ", KV byte for byte: " + std::to_string(bytes_equal) + of +
         ", zeroed control differs: " + std::to_string(control_differs) + of;
}

void check_answers(const Workload& load, Context& context, const llama::StateShape& shape,
                   Store& exact_store, CheckResult* result) {
  for (uint32_t document = 0; document < kDocuments; ++document) {
    History history = first_round(load, context, shape, document);
    exact_store.save(context, history.tokens, 0);
    const Found found = exact_store.find(history.next_prompt);
    const uint32_t known = exact_store.load(found);
    ++result->sequences;
    if (known != history.tokens.size()) continue;

    const Tokens own = answer_from(context, history.blob, known, history.next_prompt);
    if (same_bytes(history.map, exact_store.map(), known)) ++result->bytes_equal;
    const Tokens ours = answer_from(context, exact_store.blob(), known, history.next_prompt);
    if (ours == own) ++result->answers_equal;

    std::vector<std::byte> zeroed(llama::state_bytes(shape, known));
    llama::StateMap map;
    std::string why;
    if (!llama::lay_out_state(shape, 0, known, zeroed, &map, &why)) throw Failure(why);
    const Tokens control = answer_from(context, zeroed, known, history.next_prompt);
    if (control != own) ++result->control_differs;
  }
}

}  // namespace speckv::qa
