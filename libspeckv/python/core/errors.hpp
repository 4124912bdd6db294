// SPDX-License-Identifier: Apache-2.0
// errors.hpp - how a negative errno of the C ABI becomes an exception: OSError with that errno, so
// that Python picks the subclass (TimeoutError, PermissionError ...). Nothing else throws here.
#pragma once

#include <nanobind/nanobind.h>

namespace speckv::python {

namespace nb = nanobind;

// The C library's sentence for an errno (positive).
const char* meaning(int error);
// Throws OSError(-result, "what: the C library's sentence for it"). result: a negative errno.
[[noreturn]] void raise_errno(int result, const char* what);
[[noreturn]] void raise_value_error(const char* text);

// Returns: result if it is not negative, else throws.
inline int checked(int result, const char* what) {
  if (result < 0) raise_errno(result, what);
  return result;
}

}  // namespace speckv::python
