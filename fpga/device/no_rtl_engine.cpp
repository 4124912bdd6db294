// SPDX-License-Identifier: Apache-2.0
// no_rtl_engine.cpp - in place of the Verilated model, in builds that do not have it.
#include "rtl_engine.hpp"

namespace speckv::device {

std::unique_ptr<RtlEngine> make_rtl_engine() { return nullptr; }

}  // namespace speckv::device
