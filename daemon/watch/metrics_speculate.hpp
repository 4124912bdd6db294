// SPDX-License-Identifier: Apache-2.0
// metrics_speculate.hpp - the metrics of what was read ahead by guess, as a table. Included by
// metrics.cpp alone; docs/metrics.md has the same lines.
#pragma once

#include "watch/metric_table.hpp"

namespace speckv::watch {

constexpr Metric<GuessFacts> of_guesses[] = {
    {"speckv_speculate_fetched_blocks_total", "counter",
     "Blocks read from the tier below before anybody asked.",
     [](const GuessFacts& f) { return double(f.fetched); }},
    {"speckv_speculate_fetched_bytes_total", "counter", "Bytes of these.",
     [](const GuessFacts& f) { return double(f.bytes); }},
    {"speckv_speculate_useful_blocks_total", "counter", "Of these, that were read.",
     [](const GuessFacts& f) { return double(f.useful); }},
    {"speckv_speculate_late_blocks_total", "counter",
     "Of the useful ones, that somebody asked for while they were on their way.",
     [](const GuessFacts& f) { return double(f.late); }},
    {"speckv_speculate_wasted_blocks_total", "counter",
     "Of the fetched ones, that went unread, or had no room when they came.",
     [](const GuessFacts& f) { return double(f.wasted); }},
    {"speckv_speculate_refused_blocks_total", "counter",
     "Blocks that were not read after all: nothing gives way to them, or others are read.",
     [](const GuessFacts& f) { return double(f.refused); }},
    {"speckv_speculate_source_off", "gauge", "1: it is off, since less than half was read.",
     [](const GuessFacts& f) { return double(f.off); }},
    {"speckv_speculate_source_off_total", "counter", "Times that it was turned off.",
     [](const GuessFacts& f) { return double(f.times_off); }},
};

}  // namespace speckv::watch
