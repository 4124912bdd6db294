// SPDX-License-Identifier: Apache-2.0
// bind.hpp - what module.cpp puts together: each file of this folder binds one part of speckv.h.
#pragma once

#include <nanobind/nanobind.h>

namespace speckv::python {

void bind_keys(nanobind::module_& module);     // layouts, keys, digests: no session needed
void bind_session(nanobind::module_& module);  // Session
void bind_put(nanobind::module_& module);      // Put: a block layer by layer; after bind_session
void bind_objects(nanobind::module_& module);  // Objects: bytes under names, by threads of its own

}  // namespace speckv::python
