// SPDX-License-Identifier: Apache-2.0
// ahead.hpp - binds speckv/ahead.h: Session's calls of it, and Prefetch. For session.cpp.
#pragma once

#include "session.hpp"

namespace speckv::python {

void bind_ahead(nb::module_& module, nb::class_<Session>& session);

}  // namespace speckv::python
