// SPDX-License-Identifier: Apache-2.0
// arm.hpp - one way to serve the sessions: what it brings back before a prompt and what it keeps
// after the answer.
//
// What it is: the interface, and serve(), which times any arm alike: restore, compute the rest,
// answer, keep. Who calls it: run.cpp. A new arm is one class here or in arm_speckv.hpp and one
// line in main.cpp. Never: sees another arm's sessions. All arms but Resident share one
// llama_context, emptied before each request: a server whose KV holds the session that is being
// served.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "engine.hpp"
#include "llama/sequence.hpp"

namespace speckv::qa {

struct Outcome {
  double ttft_ms = 0;   // prompt known -> first token known
  double total_ms = 0;  // ... -> the answer and everything worth keeping is kept
  uint32_t reused = 0;  // tokens of the prompt that were not computed
  Tokens answer;
};

// What an arm holds at the end.
struct Holding {
  uint64_t raw_bytes = 0;     // of the KV that it can bring back, as the engine holds it
  uint64_t stored_bytes = 0;  // what that takes in its store
};

class Arm {
 public:
  explicit Arm(std::string name) : name_(std::move(name)) {}
  virtual ~Arm() = default;
  const std::string& name() const { return name_; }

  Outcome serve(uint32_t session, const Tokens& prompt, uint32_t answer_tokens);

  // Takes over the KV of a session's document, which `computed` holds as its sequence 0. Not timed.
  virtual void adopt(uint32_t session, const Tokens& document, Context& computed) {
    keep(session, document, 0);
  }

  virtual Holding holding() const { return {}; }

 protected:
  virtual Context& context() = 0;
  virtual llama_seq_id sequence(uint32_t session) const { return 0; }
  // Makes sequence(session) hold the KV of the prompt's first tokens and nothing else.
  // Returns: how many, fewer than prompt.size().
  virtual uint32_t restore(uint32_t session, const Tokens& prompt) = 0;
  // The context holds the KV of `tokens`; the first `reused` came from restore().
  virtual void keep(uint32_t session, const Tokens& tokens, uint32_t reused) = 0;

 private:
  std::string name_;
};

// The engine alone: the history is computed again each round.
class Alone : public Arm {
 public:
  Alone(std::string name, Context& context) : Arm(std::move(name)), context_(context) {}

 protected:
  Context& context() override { return context_; }
  uint32_t restore(uint32_t session, const Tokens& prompt) override;
  void keep(uint32_t session, const Tokens& tokens, uint32_t reused) override {}

 private:
  Context& context_;
};

// The engine with its own saved states in RAM, as llama.cpp's server keeps them: whole sequences,
// the longest common prefix wins, least recently used go first. Given exactly budget_bytes.
class HostCache : public Arm {
 public:
  HostCache(std::string name, Context& context, const llama::StateShape& shape,
            uint64_t budget_bytes)
      : Arm(std::move(name)), context_(context), shape_(shape), budget_bytes_(budget_bytes) {}
  Holding holding() const override;

 protected:
  Context& context() override { return context_; }
  uint32_t restore(uint32_t session, const Tokens& prompt) override;
  void keep(uint32_t session, const Tokens& tokens, uint32_t reused) override;

 private:
  struct State {
    Tokens tokens;
    std::unique_ptr<std::byte[]> blob;
    uint64_t bytes = 0;
  };
  void drop(std::list<State>::iterator state);

  Context& context_;
  llama::StateShape shape_;
  uint64_t budget_bytes_;
  uint64_t used_bytes_ = 0;
  std::list<State> states_;  // most recently used first
};

// The upper bound: an engine whose KV holds every session.
class Resident : public Arm {
 public:
  Resident(std::string name, Context& context, const llama::StateShape& shape, uint32_t sessions)
      : Arm(std::move(name)), context_(context), shape_(shape), tokens_(sessions) {}
  void adopt(uint32_t session, const Tokens& document, Context& computed) override;
  Holding holding() const override;

 protected:
  Context& context() override { return context_; }
  llama_seq_id sequence(uint32_t session) const override { return llama_seq_id(session); }
  uint32_t restore(uint32_t session, const Tokens& prompt) override;
  void keep(uint32_t session, const Tokens& tokens, uint32_t reused) override;

 private:
  Context& context_;
  llama::StateShape shape_;  // of the shared context
  std::vector<Tokens> tokens_;
};

// Returns: how many leading tokens are the same.
uint32_t common_prefix(const Tokens& a, const Tokens& b);

}  // namespace speckv::qa
