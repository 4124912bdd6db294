// SPDX-License-Identifier: Apache-2.0
// golden_main.cpp - device_test tests the golden back end.
#include "engine_fixture.hpp"

namespace speckv::device::testing {

std::unique_ptr<Backend> make_backend() { return make_golden_backend(); }
bool is_stepwise() { return true; }

}  // namespace speckv::device::testing
