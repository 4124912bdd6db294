// SPDX-License-Identifier: Apache-2.0
// array.hpp - a Python object's memory as an array of C structs, for the length of one call.
//
// Takes whatever speaks the buffer protocol (NumPy structured arrays, bytes, memoryview), copies
// nothing, and holds the buffer until it goes out of scope, so that it can neither move nor be
// freed while the GIL is released. Refuses what is not contiguous or no whole number of T.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <cstdio>

#include "errors.hpp"

namespace speckv::python {

enum class Access { read, write };

template <typename T>
class Array {
 public:
  // what: the argument's name, for the error.
  Array(nb::handle object, const char* what, Access access) {
    const int flags = access == Access::write ? PyBUF_CONTIG : PyBUF_CONTIG_RO;
    if (PyObject_GetBuffer(object.ptr(), &view_, flags) != 0) throw nb::python_error();
    // an item is one struct, or a byte of one
    const auto item = size_t(view_.itemsize);
    if (size_t(view_.len) % sizeof(T) == 0 && (item == 1 || item == sizeof(T))) return;
    char text[160];
    std::snprintf(text, sizeof text, "%s: %zd bytes in items of %zu; expected items of %zu bytes",
                  what, view_.len, item, sizeof(T));
    PyBuffer_Release(&view_);
    raise_value_error(text);
  }
  ~Array() { PyBuffer_Release(&view_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  T* data() const { return static_cast<T*>(view_.buf); }
  size_t size() const { return size_t(view_.len) / sizeof(T); }

 private:
  Py_buffer view_{};
};

}  // namespace speckv::python
