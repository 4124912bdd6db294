// SPDX-License-Identifier: Apache-2.0
// yielding.hpp - an engine that lets its thread do something else after each segment: a large block
// is many segments, and others need not wait for all of them.
//
// Wraps the engine that does the work. What is called must leave the shard alone whose block is
// being encoded: loop/server serves other namespaces there. One thread, like any engine.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "engine/engine.hpp"

namespace speckv {

class YieldingEngine final : public Engine {
 public:
  using SegmentFn = std::function<void(uint64_t raw_bytes)>;

  explicit YieldingEngine(std::unique_ptr<Engine> real) : real_(std::move(real)) {}
  void on_segment(SegmentFn on_segment) { on_segment_ = std::move(on_segment); }

  codec::Refusal encode(const Layout& layout, const codec::Preset& preset,
                        const codec::ChanTables* tables, uint32_t layer, bool first,
                        std::span<const std::byte> raw, std::span<std::byte> out,
                        uint64_t* ret_checksum) override {
    const codec::Refusal refusal =
        real_->encode(layout, preset, tables, layer, first, raw, out, ret_checksum);
    if (on_segment_) on_segment_(raw.size());
    return refusal;
  }
  std::string_view name() const override { return real_->name(); }

 private:
  std::unique_ptr<Engine> real_;
  SegmentFn on_segment_;
};

}  // namespace speckv
