// SPDX-License-Identifier: Apache-2.0
// arm_speckv.cpp - see arm_speckv.hpp.
#include "arm_speckv.hpp"

#include "workload.hpp"

namespace speckv::qa {

uint32_t Speckv::restore(uint32_t session, const Tokens& prompt) {
  context_.clear();
  found_ = store_.find(prompt);
  const uint32_t known = store_.load(found_);
  if (known == 0) return 0;
  std::string why;
  if (!llama::restore_tokens(context_.get(), store_.blob(), 0, known, &why)) throw Failure(why);
  return known;
}

// The open block that was loaded is part of what is put now, so it goes.
void Speckv::keep(uint32_t session, const Tokens& tokens, uint32_t reused) {
  store_.save(context_, tokens, reused / store_.block_tokens());
  store_.drop_open(found_);
  found_ = {};
}

Holding Speckv::holding() const {
  const SpaceStatus space = ask_status(options_.socket).at(options_.namespace_name);
  return {space.raw_bytes, space.stored_bytes};
}

}  // namespace speckv::qa
