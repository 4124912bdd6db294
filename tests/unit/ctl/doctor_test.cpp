// SPDX-License-Identifier: Apache-2.0
// Proves what `speckvctl doctor` makes of a daemon's figures and of the machine: every fault that
// it knows is found when its field says so, and nothing is found where all is well. The sentences
// for people say the opposite of the fields throughout, so that a check that reads them is caught.
#include <gtest/gtest.h>

#include <functional>

#include "tools/doctor.hpp"

namespace speckv::ctl {
namespace {

using nlohmann::ordered_json;

// A daemon on the driver's extents with nothing to complain of.
ordered_json healthy() {
  return ordered_json::parse(R"({
    "daemon": {"version": "1", "medium": "devdax, throttled", "isolation": "by uid",
      "medium_kind": "extent", "isolation_kind": "exports", "survives_daemon": true,
      "engine_wanted": "device",
      "emulated": false, "codec_isa": "AVX2", "sessions_max": 64, "malformed_messages": 0,
      "layouts_substituted": 0, "arenas_bytes": 1, "arenas_bytes_max": 1073741824,
      "scrapers": 1, "metrics_connections_max": 16, "held_blocks": 1, "holds_max": 100,
      "client_fds": 7, "client_fds_max": 300,
      "fds": 40, "fds_max": 1024, "fds_wanted": 400,
      "pinned_bytes": 0, "pinner_bytes": 0,
      "memory_limit_bytes": 8589934592, "memory_at_most_bytes": 4294967296},
    "namespaces": [{"name": "a", "pool_page_bytes": 2097152, "blocks": 10, "index_entries": 1000,
      "free_units": 5, "units": 10, "waste": 0.01, "failed_blocks": 0, "written_blocks": 10,
      "refused_segments": 0, "bounded_segments": 0, "lost_blocks": 0, "sessions": 1,
      "sessions_max": 8, "sessions_refused": 0, "held_blocks": 1, "holds_max": 100,
      "holds_refused": 0, "fds": 7, "fds_max": 100, "fds_refused": 0,
      "prefetches_under_way": 1, "prefetch_keys_max": 100, "prefetch_over_limit": 0,
      "retained_bytes": 10, "retained_bytes_max": 1000, "retain_refused": 0, "given_up_slots": 0,
      "spill": {"path": "/disk/spill", "read_breaker": 0, "write_breaker": 0,
        "damaged_blocks": 0, "unwritten_blocks": 0, "demoted_blocks": 100, "dropped_blocks": 0},
      "guesses": {"hint": {"off": 0, "off_useful": 0, "off_seen": 0},
        "child": {"off": 0, "off_useful": 0, "off_seen": 0}}}],
    "sessions": [{"id": 1, "pid": 7, "dropped_completions": 0}],
    "threads": [{"shard": 0, "stalled_ms": 40, "engine": {"state": "live", "reason": "it is gone",
      "encoded_segments": 9, "checked_segments": 3, "lies": 0, "late": 0}}]})");
}

Machine machine() {
  Machine made;
  made.kernel = "6.12";
  made.kernels = {"6.12", "7.2"};
  made.with_module = made.kernels;
  made.module_loaded = true;
  made.secure_boot = Machine::SecureBoot::on;
  return made;
}

// Returns: the findings that are not good, "check: advice" a line.
std::string troubles(const ordered_json& status, const Machine& at) {
  std::string all;
  for (const Finding& finding : judge(status, at)) {
    if (finding.state == State::good) continue;
    all += (finding.state == State::fault ? "FAULT " : "") + finding.check + ": " + finding.text +
           " -> " + finding.advice + "\n";
  }
  return all;
}

TEST(Doctor, NothingIsWrongWithAHealthyDaemonOnExtents) {
  EXPECT_EQ(troubles(healthy(), machine()), "");
  Machine swapping = machine();
  swapping.swap = true;
  EXPECT_EQ(troubles(healthy(), swapping), "") << "memory of a device is never swapped out";
}

TEST(Doctor, AnEngineThatIsSetAsideIsFound) {
  const auto expect = [](const char* text, const std::function<void(ordered_json&)>& change) {
    ordered_json status = healthy();
    change(status);
    const std::string found = troubles(status, machine());
    EXPECT_EQ(found.rfind(text, 0), 0u) << found;
  };
  expect("codec engine of thread 0: set aside: it is gone; 9 segments encoded, 3 compared, 0 wrong",
         [](auto& s) { s["threads"][0]["engine"]["state"] = "aside"; });
  expect("answers of the codec engine: 9 segments encoded, 3 compared, 2 wrong",
         [](auto& s) { s["threads"][0]["engine"]["lies"] = 2; });
  expect("codec engine: [engine] kind = device, and the driver has none",
         [](auto& s) { s["threads"][0]["engine"]["state"] = "none"; });
  expect("slots of a: 4 are out of use", [](auto& s) { s["namespaces"][0]["given_up_slots"] = 4; });
}

TEST(Doctor, EveryTroubleIsFoundByItsField) {
  using Change = std::function<void(ordered_json&, Machine&)>;
  const struct {
    const char* finds;
    Change change;
  } cases[] = {
      {"isolation", [](auto& s, auto&) { s["daemon"]["isolation_kind"] = "uid"; }},
      {"isolation", [](auto& s, auto&) { s["daemon"]["isolation_kind"] = "device"; }},
      {"restart", [](auto& s, auto&) { s["daemon"]["survives_daemon"] = false; }},
      {"codec", [](auto& s, auto&) { s["daemon"]["codec_isa"] = "scalar"; }},
      {"emulation", [](auto& s, auto&) { s["daemon"]["emulated"] = true; }},
      {"head sizes", [](auto& s, auto&) { s["daemon"]["layouts_substituted"] = 2; }},
      {"swap", [](auto& s, auto& m) { s["daemon"]["medium_kind"] = "shm", m.swap = true; }},
      {"driver: no speckv.ko for 7.2", [](auto&, auto& m) { m.with_module = {"6.12"}; }},
      {"Secure Boot", [](auto&, auto& m) { m.module_loaded = false; }},
      {"descriptors", [](auto& s, auto&) { s["daemon"]["fds_wanted"] = 5000; }},
      {"memory limit", [](auto& s, auto&) { s["daemon"]["memory_limit_bytes"] = 1 << 30; }},
      {"pinned memory: 4.00 MiB freed and still pinned; process 77 of uid 20001 has 2.00 MiB",
       [](auto& s, auto&) {
         s["daemon"].update({{"pinned_bytes", 4 << 20},
                             {"pinner_bytes", 2 << 20},
                             {"pinner_pid", 77},
                             {"pinner_uid", 20001}});
       }},
      {"FAULT data thread 0", [](auto& s, auto&) { s["threads"][0]["stalled_ms"] = 9000; }},
      {"arenas: ", [](auto& s, auto&) { s["daemon"]["arenas_bytes"] = 1073741000; }},
      {"sessions of a", [](auto& s, auto&) { s["namespaces"][0]["sessions"] = 8; }},
      {"sessions of a", [](auto& s, auto&) { s["namespaces"][0]["sessions_refused"] = 3; }},
      {"holds of a", [](auto& s, auto&) { s["namespaces"][0]["held_blocks"] = 95; }},
      {"holds of a", [](auto& s, auto&) { s["namespaces"][0]["holds_refused"] = 1; }},
      {"holds: ", [](auto& s, auto&) { s["daemon"]["held_blocks"] = 99; }},
      {"scrapers: ", [](auto& s, auto&) { s["daemon"]["scrapers"] = 16; }},
      {"descriptors of clients", [](auto& s, auto&) { s["daemon"]["client_fds"] = 299; }},
      {"descriptors of a", [](auto& s, auto&) { s["namespaces"][0]["fds"] = 98; }},
      {"descriptors of a", [](auto& s, auto&) { s["namespaces"][0]["fds_refused"] = 1; }},
      {"prefetches of a", [](auto& s, auto&) { s["namespaces"][0]["prefetches_under_way"] = 95; }},
      {"prefetches of a", [](auto& s, auto&) { s["namespaces"][0]["prefetch_over_limit"] = 1; }},
      {"retained of a", [](auto& s, auto&) { s["namespaces"][0]["retained_bytes"] = 950; }},
      {"retained of a", [](auto& s, auto&) { s["namespaces"][0]["retain_refused"] = 1; }},
      {"pages of a", [](auto& s, auto&) { s["namespaces"][0]["pool_page_bytes"] = 4096; }},
      {"index of a", [](auto& s, auto&) { s["namespaces"][0]["blocks"] = 999; }},
      {"waste of a", [](auto& s, auto&) { s["namespaces"][0]["waste"] = 0.3; }},
      {"puts of a", [](auto& s, auto&) { s["namespaces"][0]["failed_blocks"] = 5; }},
      {"codec of a", [](auto& s, auto&) { s["namespaces"][0]["refused_segments"] = 1; }},
      {"bound of a", [](auto& s, auto&) { s["namespaces"][0]["bounded_segments"] = 1; }},
      {"memory of a", [](auto& s, auto&) { s["namespaces"][0]["lost_blocks"] = 1; }},
      {"FAULT spill of a: /disk/spill does not answer",
       [](auto& s, auto&) { s["namespaces"][0]["spill"]["read_breaker"] = 1; }},
      {"FAULT spill of a: /disk/spill takes no writes",
       [](auto& s, auto&) { s["namespaces"][0]["spill"]["write_breaker"] = 1; }},
      {"spill of a", [](auto& s, auto&) { s["namespaces"][0]["spill"]["damaged_blocks"] = 1; }},
      {"spill of a", [](auto& s, auto&) { s["namespaces"][0]["spill"]["unwritten_blocks"] = 9; }},
      {"spill of a", [](auto& s, auto&) { s["namespaces"][0]["spill"]["dropped_blocks"] = 1; }},
      {"speculation of a: hint is off: 0 of its last 0",
       [](auto& s, auto&) { s["namespaces"][0]["guesses"]["hint"]["off"] = 1; }},
      {"session 1", [](auto& s, auto&) { s["sessions"][0]["dropped_completions"] = 1; }},
      {"messages", [](auto& s, auto&) { s["daemon"]["malformed_messages"] = 1; }},
  };
  for (const auto& each : cases) {
    ordered_json status = healthy();
    Machine at = machine();
    each.change(status, at);
    const std::string found = troubles(status, at);
    EXPECT_EQ(found.rfind(each.finds, 0), 0u) << each.finds << " is not in: " << found;
    EXPECT_EQ(std::count(found.begin(), found.end(), '\n'), 1) << found;
  }
}

TEST(Doctor, AnOlderDaemonsMissingFieldsAreNoFault) {
  ordered_json status = healthy();
  for (const char* field : {"fds_max", "memory_limit_bytes", "layouts_substituted"})
    status["daemon"].erase(field);
  for (const char* field : {"bounded_segments", "lost_blocks", "sessions_max", "holds_max",
                            "prefetch_keys_max", "retained_bytes_max"})
    status["namespaces"][0].erase(field);
  status["threads"][0].erase("stalled_ms");
  EXPECT_EQ(troubles(status, machine()), "");
}

TEST(Doctor, WhereNobodyUsesTheDriverItsModuleIsNotMissed) {
  ordered_json status = healthy();
  status["daemon"]["medium_kind"] = "shm";
  status["daemon"]["isolation_kind"] = "mount";
  Machine plain;
  plain.kernels = {"6.12", "7.2"};
  plain.secure_boot = Machine::SecureBoot::on;
  EXPECT_EQ(troubles(status, plain), "");
}

}  // namespace
}  // namespace speckv::ctl
