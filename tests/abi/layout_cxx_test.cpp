// SPDX-License-Identifier: Apache-2.0
// layout_cxx_test.cpp - the same sizes and offsets, seen by a C++20 compiler; see layout_test.c.
#include "layout_test.c"  // NOLINT(bugprone-suspicious-include)
