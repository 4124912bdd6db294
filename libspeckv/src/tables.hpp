// SPDX-License-Identifier: Apache-2.0
// tables.hpp - the chanq tables of a registered layout: of equal widths, and from each table that
// the daemon sent. Called with the control lock held; never on the reading path.
#pragma once

#include "src/session.hpp"
#include "src/wire_io.hpp"

namespace speckv::lib {

// Takes the table that came with a LayoutReply and checks the reply's fingerprint. Widths that info
// does not have yet are appended; those it has stay, and with them what was stored by them.
// Returns: 0 or -errno; -ESTALE: the daemon came with one set more than width_sets_max: who called
// opens a new session, what is mapped stays readable.
int take_tables(const Message& message, LayoutInfo* info);
void drop_tables(LayoutInfo* info);

}  // namespace speckv::lib
