// SPDX-License-Identifier: Apache-2.0
// isa.cpp - which vector target run-time dispatch chooses, by name.
#include "codec/codec.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/isa.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace speckv::codec::HWY_NAMESPACE {
const char* target_name() { return hwy::TargetName(HWY_TARGET); }
}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace speckv::codec {
HWY_EXPORT(target_name);
std::string_view isa() { return HWY_DYNAMIC_DISPATCH(target_name)(); }
}  // namespace speckv::codec
#endif
