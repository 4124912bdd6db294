// SPDX-License-Identifier: Apache-2.0
// metrics_near.hpp - the metrics of near memory, as a table. Included by metrics.cpp alone;
// docs/metrics.md has the same lines.
#pragma once

#include "watch/metric_table.hpp"

namespace speckv::watch {

constexpr Metric<SpaceFacts> of_near[] = {
    {"speckv_near_bytes", "gauge", "Size of near memory.",
     [](const SpaceFacts& f) { return double(f.near.bytes); }},
    {"speckv_near_page_bytes", "gauge", "Page size that the kernel gave it.",
     [](const SpaceFacts& f) { return double(f.near.page_bytes); }},
    {"speckv_near_blocks", "gauge", "Blocks that stand decoded there.",
     [](const SpaceFacts& f) { return double(f.near.blocks); }},
    {"speckv_near_live_bytes", "gauge", "Bytes of these.",
     [](const SpaceFacts& f) { return double(f.near.live_bytes); }},
    {"speckv_near_limbo_blocks", "gauge", "Copies that left and that a reader still names.",
     [](const SpaceFacts& f) { return double(f.near.limbo_blocks); }},
    {"speckv_near_blocks_under_way", "gauge", "Blocks that are being decoded for it.",
     [](const SpaceFacts& f) { return double(f.near.under_way); }},
    {"speckv_near_blind_sessions", "gauge",
     "Sessions whose library cannot read it: nothing stands there meanwhile.",
     [](const SpaceFacts& f) { return double(f.near.blind_sessions); }},
    {"speckv_near_brought_blocks_total", "counter", "Blocks that came there.",
     [](const SpaceFacts& f) { return double(f.near.brought_blocks); }},
    {"speckv_near_evicted_blocks_total", "counter",
     "Blocks that left: others are read more, or they left the pool.",
     [](const SpaceFacts& f) { return double(f.near.evicted_blocks); }},
    {"speckv_near_refused_blocks_total", "counter",
     "Times that a block was not read more than those that would have to go for it.",
     [](const SpaceFacts& f) { return double(f.near.refused_blocks); }},
    {"speckv_near_failed_blocks_total", "counter",
     "Blocks decoded in vain: they left the pool meanwhile, do not fit, or are damaged.",
     [](const SpaceFacts& f) { return double(f.near.failed_blocks); }},
    {"speckv_near_read_touches_total", "counter",
     "Of speckv_read_touches_total, hits of blocks that stood there.",
     [](const SpaceFacts& f) { return double(f.near.read_touches); }},
};

}  // namespace speckv::watch
