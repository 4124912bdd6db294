// SPDX-License-Identifier: Apache-2.0
// arm_speckv.hpp - the engine with speckv: what the pool has of a prompt is looked up by chained
// keys and loaded, the rest is computed, what is new is put. One arm a preset, each in a namespace
// of its own of the pool's size.
#pragma once

#include <memory>
#include <string>

#include "arm.hpp"
#include "daemon_status.hpp"
#include "store.hpp"

namespace speckv::qa {

class Speckv : public Arm {
 public:
  Speckv(std::string name, Context& context, const StoreOptions& options,
         const llama::StateShape& shape)
      : Arm(std::move(name)),
        context_(context),
        options_(options),
        store_(options, context, shape) {}
  Store& store() { return store_; }
  Holding holding() const override;

 protected:
  Context& context() override { return context_; }
  uint32_t restore(uint32_t session, const Tokens& prompt) override;
  void keep(uint32_t session, const Tokens& tokens, uint32_t reused) override;

 private:
  Context& context_;
  StoreOptions options_;
  Store store_;
  Found found_;  // by the request that is being served
};

}  // namespace speckv::qa
