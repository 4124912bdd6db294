// SPDX-License-Identifier: Apache-2.0
// arm_speckv.hpp - the engine with speckv: leading blocks are looked up by their keys and loaded,
// the rest is computed, new full blocks are put. One arm a preset, each in a namespace of its own
// of the pool's size.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "arm.hpp"
#include "store.hpp"

namespace speckv::qa {

class Speckv : public Arm {
 public:
  Speckv(std::string name, Context& context, std::unique_ptr<Store> store)
      : Arm(std::move(name)), context_(context), store_(std::move(store)) {}
  Store& store() { return *store_; }
  Holding holding() const override;

 protected:
  Context& context() override { return context_; }
  uint32_t restore(uint32_t session, const Tokens& prompt) override;
  void keep(uint32_t session, const Tokens& tokens, uint32_t reused) override;

 private:
  Context& context_;
  std::unique_ptr<Store> store_;
  std::set<Key> put_;  // every key that was ever put
};

}  // namespace speckv::qa
