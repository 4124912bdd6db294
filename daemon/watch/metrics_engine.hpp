// SPDX-License-Identifier: Apache-2.0
// metrics_engine.hpp - the metrics of a codec engine, as a table. Included by metrics.cpp alone;
// docs/metrics.md has the same lines.
#pragma once

#include "watch/metric_table.hpp"

namespace speckv::watch {

constexpr Metric<ThreadFacts> of_engine[] = {
    {"speckv_engine_live", "gauge", "1: it is trusted and has work to do; 0: it was set aside.",
     [](const ThreadFacts& f) { return double(f.device.state[0] == 'l'); }},
    {"speckv_engine_commands_total", "counter", "Commands that it was given.",
     [](const ThreadFacts& f) { return double(f.device.commands); }},
    {"speckv_engine_commands_under_way", "gauge", "Of these, without an answer yet.",
     [](const ThreadFacts& f) { return double(f.device.under_way); }},
    {"speckv_engine_segments_total", "counter", "Segments that it encoded.",
     [](const ThreadFacts& f) { return double(f.device.segments); }},
    {"speckv_engine_raw_bytes_total", "counter", "Their size as they came.",
     [](const ThreadFacts& f) { return double(f.device.raw_bytes); }},
    {"speckv_engine_stored_bytes_total", "counter", "Their size as stored.",
     [](const ThreadFacts& f) { return double(f.device.stored_bytes); }},
    {"speckv_engine_decoded_segments_total", "counter",
     "Segments that it decoded, for near memory.",
     [](const ThreadFacts& f) { return double(f.device.decoded); }},
    {"speckv_engine_decoded_raw_bytes_total", "counter", "Their size decoded.",
     [](const ThreadFacts& f) { return double(f.device.decoded_bytes); }},
    {"speckv_engine_by_cpu_total", "counter",
     "Segments that the cpu coded: the engine does not take them, or not now.",
     [](const ThreadFacts& f) { return double(f.device.by_cpu); }},
    {"speckv_engine_again_total", "counter", "Segments that it had and that the cpu did again.",
     [](const ThreadFacts& f) { return double(f.device.again); }},
    {"speckv_engine_checked_total", "counter",
     "Segments that the cpu encoded, too, and that were compared.",
     [](const ThreadFacts& f) { return double(f.device.checked); }},
    {"speckv_engine_lies_total", "counter", "Answers that were found wrong.",
     [](const ThreadFacts& f) { return double(f.device.lies); }},
    {"speckv_engine_late_total", "counter", "Commands without an answer within the deadline.",
     [](const ThreadFacts& f) { return double(f.device.late); }},
    {"speckv_engine_errors_total", "counter", "Commands that ended otherwise than well.",
     [](const ThreadFacts& f) { return double(f.device.errors); }},
    {"speckv_engine_tables_total", "counter", "Tables that were loaded into it.",
     [](const ThreadFacts& f) { return double(f.device.tables); }},
    {"speckv_engine_set_aside_total", "counter", "Times that it was set aside.",
     [](const ThreadFacts& f) { return double(f.device.set_aside); }},
    {"speckv_engine_self_tests_total", "counter",
     "Segments with known bytes that it was tried with.",
     [](const ThreadFacts& f) { return double(f.device.self_tests); }},
};

}  // namespace speckv::watch
