// SPDX-License-Identifier: Apache-2.0
// engine_demo.cpp - the story that `make demo-engine` tells: a codec engine encodes what a client
// puts, with the cpu's bytes; then it is reset, lies, and says nothing, in the middle of puts.
//
// A line for each step, with its figures, then "ok" or "not ok". What clients read is compared with
// what they read from a daemon that has no engine.
#include <cstdarg>
#include <functional>

#include "engine_guest.hpp"

namespace speckv::test {
namespace {

__attribute__((format(printf, 2, 3))) void tell(const char* step, const char* format, ...) {
  std::printf("demo: %-9s ", step);
  va_list values;
  va_start(values, format);
  std::vprintf(format, values);
  va_end(values);
  std::printf("\n");
}

class EngineDemo {
 public:
  EngineDemo(std::string backend, uint64_t blocks)
      : backend_(std::move(backend)), blocks_(blocks) {}
  int told();

 private:
  bool begin(const char* kind, uint32_t deadline_ms) {
    if (daemon_) daemon_->stop();
    daemon_ = std::make_unique<DaemonProcess>(engine_daemon(kind, deadline_ms));
    return daemon_->start();
  }
  uint64_t field(const char* name) const { return status_field(daemon_->socket_path(), name); }
  bool encodes();
  bool survives(const char* step, const char* fault, const char* what);
  bool judge(const char* step, bool good) {
    std::printf("%s %d - %s: %s\n", good ? "ok" : "not ok", ++number_, backend_.c_str(), step);
    if (!good) std::printf("%s\n", daemon_->log().c_str());
    failed_ += !good;
    return good;
  }

  const std::string backend_;
  const uint64_t blocks_;
  std::unique_ptr<DaemonProcess> daemon_;
  const EngineStory* right_ = nullptr;
  int number_ = 0, failed_ = 0;
};

bool EngineDemo::encodes() {
  if (!begin("device", 5000)) return false;
  const EngineStory* story = tell_engine_story(daemon_->socket_path(), blocks_);
  const uint64_t segments = field("encoded_segments");
  tell("encode",
       "%lu blocks of real KV in 3 presets: %lu commands, %lu segments (%lu pages), "
       "%lu KiB in, %lu KiB out; %lu segments by the cpu, until their tables were loaded",
       story->stored, field("commands"), segments, segments * engine_pages / engine_segments,
       field("encoded_raw_bytes") >> 10, field("encoded_stored_bytes") >> 10,
       field("segments_by_cpu"));
  tell("compare",
       "%lu of %lu segments encoded again by the cpu, %lu differ; %lu errors; what clients "
       "read is %s of a daemon without an engine",
       field("checked_segments"), segments, field("lies"), field("errors"),
       story->reads_like(*right_) ? "that" : "NOT that");
  return story->is_whole() && story->reads_like(*right_) && segments > story->wanted() &&
         field("checked_segments") == segments && field("lies") == 0 && field("set_aside") == 0;
}

bool EngineDemo::survives(const char* step, const char* fault, const char* what) {
  if (!begin("device", backend_ == "golden" ? 500 : 5000)) return false;
  if (!device_is_told(std::string(fault) + " after=60")) return false;
  const EngineStory* story = tell_engine_story(daemon_->socket_path(), blocks_);
  const bool back = eventually([&] { return field("engines_live") == 1; });
  tell(step,
       "%s in the middle of puts: set aside %lu times, %lu segments done again by the cpu, "
       "%lu self-tests, then %s; %lu puts failed, what clients read is %s",
       what, field("set_aside"), field("segments_again"), field("self_tests"),
       back ? "trusted again" : "NOT TRUSTED AGAIN", field("failed_blocks"),
       story->reads_like(*right_) ? "the same" : "NOT THE SAME");
  device_is_told("heal");
  return back && story->is_whole() && story->reads_like(*right_) && field("set_aside") >= 1 &&
         field("segments_again") >= 1 && field("failed_blocks") == 0;
}

int EngineDemo::told() {
  if (!begin("cpu", 1000)) return 1;
  right_ = tell_engine_story(daemon_->socket_path(), blocks_);
  tell("engine",
       "speckv-device, %s, on a pool in a CXL card's memory; one engine, each segment is "
       "compared",
       backend_.c_str());
  judge("what it stores is what the cpu stores", encodes());
  judge("a reset costs nothing but time", survives("reset", "reset", "the engine resets itself"));
  judge("a lie is found",
        survives("lie", "garbage", "wrong bytes, with the right ones' checksum,"));
  judge("no answer is waited for, once", survives("silence", "stuck", "no answer any more"));
  daemon_->stop();
  return failed_ ? 1 : 0;
}

}  // namespace

int tell_engine_demo(const char* backend) {
  return EngineDemo(backend, std::string(backend) == "golden" ? engine_blocks_max : 24).told();
}

}  // namespace speckv::test
