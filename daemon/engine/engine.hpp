// SPDX-License-Identifier: Apache-2.0
// engine.hpp - who runs the codec: one interface, so that journey/ never asks which engine it is.
//
// An engine encodes one segment: raw K and V of one layer in, stored bytes and their checksum out.
// It does no I/O of its own accord, never evicts, and may refuse a segment (then the caller stores
// it raw). Threading: one engine per data thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "codec/segment.hpp"
#include "layout.hpp"

namespace speckv {

class Engine {
 public:
  virtual ~Engine() = default;
  // tables: of all layers and heads (Widths::tables), or nullptr. raw: [K|V][head][token][channel],
  // contiguous, owned by the client and perhaps changing meanwhile: the engine is never led astray
  // by that, and the sum is of what it stored. out: at least layout.segment_bytes(preset, first).
  [[nodiscard]] virtual codec::Refusal encode(const Layout& layout, const codec::Preset& preset,
                                              const codec::ChanTables* tables, uint32_t layer,
                                              bool first, std::span<const std::byte> raw,
                                              std::span<std::byte> out, uint64_t* ret_checksum) = 0;
  virtual std::string_view name() const = 0;
};

std::unique_ptr<Engine> make_cpu_engine();

}  // namespace speckv
