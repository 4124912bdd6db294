// SPDX-License-Identifier: Apache-2.0
// source.hpp - the names of who guesses what will be asked for. See speculator.hpp.
//
// For whoever keeps a figure or a flag by source and needs nothing of the rest.
#pragma once

#include <cstdint>
#include <string_view>

namespace speckv::predict {

// The surest first.
enum class Source : uint8_t { chain, hint, child, session };
inline constexpr uint32_t kSources = 4;
std::string_view source_name(Source source);

class Speculator;
struct Proposal;

}  // namespace speckv::predict
