// SPDX-License-Identifier: Apache-2.0
// tables.hpp - the chanq tables of a registered layout: from the daemon's calibration table if it
// sent one, else of equal widths. Called with the control lock held; never on the reading path.
#pragma once

#include "src/session.hpp"
#include "src/wire_io.hpp"

namespace speckv::lib {

// Takes the table that came with a LayoutReply and checks the reply's fingerprint. known: the
// layout was registered before, its blocks were read under info's fingerprint: another table now
// refuses it
// (-ESTALE; the caller opens a new session). Returns: 0 or -errno.
int take_tables(const Message& message, bool known, LayoutInfo* info);
void drop_tables(LayoutInfo* info);

}  // namespace speckv::lib
