// SPDX-License-Identifier: Apache-2.0
// run.cpp - see run.hpp.
#include "run.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "progress.hpp"

namespace speckv::qa {

double ArmResult::requests_per_s() const {
  double ms = 0;
  for (const Sample& sample : samples) ms += sample.total_ms;
  return ms == 0 ? 0 : double(samples.size()) * 1e3 / ms;
}

// The smallest sample that `quantile` of all samples do not exceed.
double ArmResult::ttft_ms(double quantile) const {
  std::vector<double> all;
  for (const Sample& sample : samples) all.push_back(sample.ttft_ms);
  std::sort(all.begin(), all.end());
  const size_t rank = size_t(std::ceil(quantile * double(all.size())));
  return all.empty() ? 0 : all[std::max<size_t>(rank, 1) - 1];
}

uint64_t ArmResult::tokens_reused() const {
  uint64_t tokens = 0;
  for (const Sample& sample : samples) tokens += sample.reused;
  return tokens;
}

double ArmResult::ratio() const {
  return holding.stored_bytes == 0 ? 0 : double(holding.raw_bytes) / double(holding.stored_bytes);
}

void load_documents(const Workload& load, Context& context, const std::vector<Arm*>& arms) {
  Progress progress("loading documents", load.scale.sessions);
  for (uint32_t session = 0; session < load.scale.sessions; ++session) {
    Tokens document = load.documents[session];
    document.resize(load.scale.document_tokens);
    context.clear();
    context.compute(0, 0, document);
    for (Arm* arm : arms) arm->adopt(session, document, context);
    progress.step();
  }
}

std::vector<ArmResult> run_turns(const Workload& load, const std::vector<Arm*>& arms) {
  std::vector<ArmResult> results(arms.size());
  std::vector<std::vector<Tokens>> histories(arms.size());
  for (size_t i = 0; i < arms.size(); ++i) {
    results[i].name = arms[i]->name();
    histories[i].assign(load.documents.begin(), load.documents.begin() + load.scale.sessions);
    for (Tokens& history : histories[i]) history.resize(load.scale.document_tokens);
  }
  std::mt19937_64 random(load.seed + 1);
  std::vector<size_t> order(arms.size());
  std::iota(order.begin(), order.end(), 0);
  Progress progress("asking", load.turns.size() * arms.size());
  for (const Turn& turn : load.turns) {
    for (size_t i = order.size() - 1; i > 0; --i) std::swap(order[i], order[random() % (i + 1)]);
    for (size_t i : order) {
      // an arm's history holds its own answers; all are of one length
      Tokens& history = histories[i][turn.session];
      const Tokens& question = load.questions[turn.round];
      history.insert(history.end(), question.begin(), question.end());
      const Outcome outcome = arms[i]->serve(turn.session, history, load.answer_tokens);
      results[i].samples.push_back(
          {turn, uint32_t(history.size()), outcome.reused, outcome.ttft_ms, outcome.total_ms});
      history.insert(history.end(), outcome.answer.begin(), outcome.answer.end());
      progress.step();
    }
  }
  for (size_t i = 0; i < arms.size(); ++i) results[i].holding = arms[i]->holding();
  return results;
}

double fresh_ratio(const Workload& load, Arm& alone, Arm& ours) {
  if (load.scale.fresh_prompts == 0) return 0;
  double alone_ms = 0, ours_ms = 0;
  Progress progress("asking without reuse", load.scale.fresh_prompts);
  for (uint32_t i = 0; i < load.scale.fresh_prompts; ++i) {
    // a document's middle first: another first block is another key for every block after it
    Tokens prompt = load.documents[i % load.scale.sessions];
    prompt.resize(load.scale.document_tokens);
    std::rotate(prompt.begin(), prompt.begin() + 100 + i, prompt.end());
    Arm* order[] = {&alone, &ours};
    if (i % 2 != 0) std::swap(order[0], order[1]);
    for (Arm* arm : order) {
      const Outcome outcome = arm->serve(0, prompt, load.answer_tokens);
      if (outcome.reused != 0) throw Failure("a prompt that was never asked before had blocks");
      (arm == &alone ? alone_ms : ours_ms) += outcome.total_ms;
    }
    progress.step();
  }
  return ours_ms == 0 ? 0 : alone_ms / ours_ms;
}

}  // namespace speckv::qa
