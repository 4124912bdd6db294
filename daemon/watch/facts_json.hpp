// SPDX-License-Identifier: Apache-2.0
// facts_json.hpp - DaemonView's structs as JSON: one spelling for speckvctl, the web page and
// scripts.
//
// Field names are those of daemon_view.hpp; they are what `speckvctl --json` prints, so a rename is
// a change of interface.
#pragma once

#include <nlohmann/json.hpp>

#include "watch/blocks.hpp"
#include "watch/daemon_view.hpp"

namespace speckv::watch {

// {"daemon": {...}, "namespaces": [...], "sessions": [...], "threads": [...]}
nlohmann::ordered_json status_json(const DaemonView& view);
nlohmann::ordered_json block_json(const BlockSummary& block);
nlohmann::ordered_json detail_json(const BlockDetail& detail);

}  // namespace speckv::watch
