// SPDX-License-Identifier: Apache-2.0
// answers.cpp - see answers.hpp.
#include "answers.hpp"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

namespace speckv::quality {

namespace {

using llama::LossyContext;
using llama::step_tokens;
using Tokens = std::vector<llama_token>;

constexpr uint32_t answer_tokens = 128;

size_t vocabulary(const llama_model* model) {
  return size_t(llama_vocab_n_tokens(llama_model_get_vocab(model)));
}

llama_token best_of(std::span<const float> logits, size_t row, size_t words) {
  const auto values = logits.subspan(row * words, words);
  return llama_token(std::max_element(values.begin(), values.end()) - values.begin());
}

// Computes tokens step by step. Returns: the most likely token after each of the last `wanted`.
Tokens follow(LossyContext& context, std::span<const llama_token> tokens, size_t wanted,
              size_t words) {
  Tokens best;
  const size_t from = tokens.size() - wanted;
  for (size_t at = 0; at < tokens.size();) {
    const size_t room = step_tokens - context.tokens() % step_tokens;
    const size_t count = std::min(room, tokens.size() - at);
    const bool logits = at + count > from;
    const auto got = context.step(tokens.subspan(at, count), logits);
    for (size_t i = 0; logits && i < count; i++)
      if (at + i >= from) best.push_back(best_of(got, i, words));
    at += count;
  }
  return best;
}

// What the reference says after the prompt, greedily.
Tokens answer_of(LossyContext& context, const Tokens& prompt, size_t count, size_t words) {
  context.clear();
  Tokens answer = follow(context, prompt, 1, words);
  while (answer.size() < count)
    answer.push_back(follow(context, std::span(answer).last(1), 1, words)[0]);
  return answer;
}

// Tokens of `answer` that a row says as the reference did, up to the first other one.
size_t agreement(LossyContext& context, const Tokens& prompt, const Tokens& answer, size_t words) {
  Tokens all = prompt;
  all.insert(all.end(), answer.begin(), answer.end() - 1);
  context.clear();
  const Tokens said = follow(context, all, answer.size(), words);
  return size_t(std::mismatch(said.begin(), said.end(), answer.begin()).first - said.begin());
}

struct Question {
  Tokens prompt, answer;
};

// One row after the other, so that only one more context is alive.
std::vector<std::vector<size_t>> agreements(llama_model* model,
                                            const std::vector<llama::Variant>& rows,
                                            const std::vector<Question>& questions, int threads) {
  size_t tokens = 0;
  for (const Question& q : questions) tokens = std::max(tokens, q.prompt.size() + q.answer.size());
  std::vector<std::vector<size_t>> all;
  for (const llama::Variant& row : rows) {
    LossyContext context(model, row, uint32_t(tokens), threads);
    all.emplace_back();
    for (const Question& question : questions)
      all.back().push_back(agreement(context, question.prompt, question.answer, vocabulary(model)));
    std::fprintf(stderr, "quality: %s done\n", row.name.c_str());
  }
  return all;
}

constexpr const char* key_question = "\nThe pass key is";

std::string key_text(int key) {
  return "\nThe pass key is " + std::to_string(key) + ". Remember it. " + std::to_string(key) +
         " is the pass key.\n";
}

// `length` tokens of the text with the key at `quarter` quarters of it, and the question.
Tokens key_prompt(const llama_model* model, const Tokens& text, uint32_t length, uint32_t quarter,
                  int key) {
  const Tokens note = llama::tokenize(model, key_text(key), false);
  const Tokens question = llama::tokenize(model, key_question, false);
  const size_t rest = length - note.size() - question.size();
  const auto middle = text.begin() + ptrdiff_t(rest * quarter / 4);
  Tokens prompt(text.begin(), middle);
  prompt.insert(prompt.end(), note.begin(), note.end());
  prompt.insert(prompt.end(), middle, text.begin() + ptrdiff_t(rest));
  prompt.insert(prompt.end(), question.begin(), question.end());
  return prompt;
}

// The prompts of one length that the reference answers.
std::vector<Question> key_questions(llama_model* model, const std::vector<Tokens>& texts,
                                    uint32_t length, LossyContext& reference, size_t* ret_asked) {
  std::vector<Question> answered;
  for (const Tokens& text : texts) {
    int key = 48213;
    for (uint32_t quarter = 1; quarter <= 3 && text.size() >= length; quarter++) {
      key = 10000 + (key * 7919 + 104729) % 90000;
      Question question{key_prompt(model, text, length, quarter, key),
                        llama::tokenize(model, " " + std::to_string(key), false)};
      ++*ret_asked;
      if (answer_of(reference, question.prompt, question.answer.size(), vocabulary(model)) ==
          question.answer)
        answered.push_back(std::move(question));
    }
  }
  return answered;
}

std::vector<Tokens> read_all(const llama_model* model, const std::vector<std::string>& paths) {
  std::vector<Tokens> texts;
  for (const std::string& path : paths)
    texts.push_back(llama::tokenize(model, llama::read_text(path)));
  return texts;
}

}  // namespace

void print_divergence(llama_model* model, const std::vector<llama::Variant>& rows,
                      const std::vector<std::string>& texts, uint32_t tokens, int threads) {
  std::vector<Question> questions;
  {
    LossyContext reference(model, llama::Variant{.name = "fp16"}, tokens + answer_tokens, threads);
    for (const Tokens& text : read_all(model, texts)) {
      if (text.size() < tokens) continue;
      const Tokens prompt(text.begin(), text.begin() + ptrdiff_t(tokens));
      questions.push_back({prompt, answer_of(reference, prompt, answer_tokens, vocabulary(model))});
      std::fprintf(stderr, "quality: %zu answers\n", questions.size());
    }
  }
  if (questions.empty()) throw std::runtime_error("every text is shorter than --tokens");
  const auto found = agreements(model, rows, questions, threads);
  std::printf("%zu prompts of %u tokens, %u greedy tokens each.\n\n", questions.size(), tokens,
              answer_tokens);
  std::printf("| KV | answers without a difference | first differing token, median |\n");
  std::printf("|---|---|---|\n");
  for (size_t i = 0; i < rows.size(); i++) {
    auto at = found[i];
    std::sort(at.begin(), at.end());
    const size_t median = at[at.size() / 2];
    std::printf("| %s | %td of %zu | %s%zu |\n", rows[i].name.c_str(),
                std::count(at.begin(), at.end(), size_t(answer_tokens)), at.size(),
                median == answer_tokens ? "none in " : "", median);
  }
}

void print_passkeys(llama_model* model, const std::vector<llama::Variant>& rows,
                    const std::vector<std::string>& texts, uint32_t tokens, int threads) {
  const std::vector<Tokens> all = read_all(model, texts);
  std::vector<Question> questions;
  std::vector<size_t> ends;
  std::string head = "| KV |", line = "|---|";
  size_t asked = 0;
  for (uint32_t length = 512; length <= tokens; length *= 2) {
    LossyContext reference(model, llama::Variant{.name = "fp16"}, length + 64, threads);
    auto answered = key_questions(model, all, length, reference, &asked);
    std::move(answered.begin(), answered.end(), std::back_inserter(questions));
    ends.push_back(questions.size());
    head += " " + std::to_string(length) + " tokens |";
    line += "---|";
    std::fprintf(stderr, "quality: %zu of %zu keys found at up to %u tokens\n", questions.size(),
                 asked, length);
  }
  if (questions.empty()) {
    std::printf("Of %zu keys the fp16-KV run finds none, so there is nothing to lose.\n", asked);
    return;
  }
  const auto found = agreements(model, rows, questions, threads);
  std::printf("%zu keys, of which the fp16-KV run finds %zu.\n\n%s\n%s\n", asked, questions.size(),
              head.c_str(), line.c_str());
  for (size_t i = 0; i < rows.size(); i++) {
    std::printf("| %s |", rows[i].name.c_str());
    for (size_t length = 0, from = 0; length < ends.size(); from = ends[length++]) {
      size_t kept = 0;
      for (size_t q = from; q < ends[length]; q++)
        kept += found[i][q] == questions[q].answer.size();
      std::printf(" %zu of %zu |", kept, ends[length] - from);
    }
    std::printf("\n");
  }
}

}  // namespace speckv::quality
