// SPDX-License-Identifier: Apache-2.0
// abi.hpp - the public header, for the sources of the library: what it declares is exported, and
// nothing else is.
//
// Every file here includes it before speckv.h could come from elsewhere.
#pragma once

#pragma GCC visibility push(default)
#include "speckv/speckv.h"
#pragma GCC visibility pop
