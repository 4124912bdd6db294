// SPDX-License-Identifier: Apache-2.0
// suite_redis.cpp - rows get/*/redis, put/*/redis and overhead/*: the same objects through a Redis
// of the bench's own on a unix socket (hiredis), and through us.
//
// overhead = p50 of one get - p50 of memcpy of the object, one object at a time, wall time,
// `exact`; against Redis's own overhead. Redis's get ends when hiredis hands out the reply; the
// copy into the caller's buffer that would follow is not counted. Its put ends with the reply, ours
// (put-*) too.
#include <hiredis/hiredis.h>

#include <cstdio>
#include <cstring>

#include "hot_set.hpp"
#include "live.hpp"

namespace speckv::bench {
namespace {

class Redis {
 public:
  ~Redis() {
    if (context_) redisFree(context_);
  }
  // Returns: "" or one sentence.
  std::string start() {
    const std::string program = find_program("redis-server");
    if (program.empty()) return "redis-server is not installed (tools/deps/bench.txt)";
    const std::string socket = dir_.path() + "/redis.sock";
    const std::string why =
        process_.start({program, "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700",
                        "--save", "", "--appendonly", "no", "--dir", dir_.path()},
                       dir_.path() + "/redis.log", socket);
    if (!why.empty()) return why;
    context_ = redisConnectUnix(socket.c_str());
    return context_ && context_->err == 0 ? "" : "cannot connect to redis-server";
  }
  bool set(uint64_t number, const std::byte* value, uint64_t bytes) {
    const Key key = key_of(number);
    auto* reply = static_cast<redisReply*>(
        redisCommand(context_, "SET %b %b", key.data(), key.size(), value, size_t(bytes)));
    const bool done = reply && reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    return done;
  }
  bool get(uint64_t number, uint64_t bytes, const std::byte* expected = nullptr) {
    const Key key = key_of(number);
    auto* reply =
        static_cast<redisReply*>(redisCommand(context_, "GET %b", key.data(), key.size()));
    const bool hit = reply && reply->type == REDIS_REPLY_STRING && uint64_t(reply->len) == bytes &&
                     (expected == nullptr || std::memcmp(reply->str, expected, bytes) == 0);
    freeReplyObject(reply);
    return hit;
  }

 private:
  TempDir dir_;
  Process process_;
  redisContext* context_ = nullptr;
};

// One of our gets; false on a miss.
bool get_ours(Live& live, uint32_t number, const speckv_layout& layout, uint64_t object,
              std::byte* to, std::vector<speckv_view>* views, uint32_t flags) {
  speckv_get_op op{};
  const Key key = key_of(object);
  std::memcpy(op.key, key.data(), key.size());
  set_views(layout, to, views);
  op.buf = {0, layout.layers, views->data()};
  op.flags = flags;
  return speckv_get(live.session(), number, &op, 1) == 1;
}

void add_overhead(Report& report, uint64_t bytes, double ours_s, double redis_s,
                  const Timing& timing, const std::string& setting) {
  Row row;
  row.name = "overhead/" + size_text(bytes);
  row.value = ours_s * 1e9;
  row.unit = "ns";
  row.against = "redis";
  row.ratio = ours_s / redis_s;
  row.goal = "<= 0.1";
  row.setting = "p50 of one get - p50 of memcpy, wall time, exact; redis " +
                std::to_string(uint64_t(redis_s * 1e9)) + " ns over the same memcpy; " + setting;
  row.samples = timing.samples;
  row.spread = timing.spread;
  report.add(row);
}

void add_redis_row(Report& report, const std::string& name, uint64_t bytes, const Timing& timing,
                   const Timing& copy) {
  Row row;
  row.name = name;
  row.value = double(bytes) / timing.median_s / 1e9;
  row.unit = "GB/s";
  row.against = "memcpy";
  row.ratio = copy.median_s / timing.median_s;
  row.setting = "hiredis, unix socket, one object a call, wall time";
  row.samples = timing.samples;
  row.spread = timing.spread;
  report.add(row);
}

void run_size(Report& report, Redis& redis, uint64_t bytes) {
  const std::string size = size_text(bytes);
  if (!report.wants("overhead/" + size) && !report.wants("get/" + size + "/redis") &&
      !report.wants("put/" + size + "/redis")) {
    return;
  }
  report.progress("redis and overhead, " + size);
  HotSet hot(bytes);
  Live live;
  LiveOptions options;
  options.pool_bytes = (hot.objects() * bytes * 5 / 4 + (64 << 20)) >> 21 << 21;
  options.index_entries = hot.objects() * 2;
  std::string why = live.start(report.options(), options);
  if (!why.empty()) return report.skip("overhead/" + size, why);
  const speckv_layout layout = layout_of(bytes, SPECKV_PRESET_EXACT);
  const uint32_t number = live.add(layout);
  why = live.put(number, layout, 0, hot.objects(), [&](uint64_t i) { return hot.object(i); });
  if (!why.empty()) return report.skip("overhead/" + size, why);
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < hot.objects(); ++i) {
    wrong += !redis.set(i, hot.object(i), bytes) || !redis.get(i, bytes, hot.object(i));
  }

  std::vector<speckv_view> views;
  auto contenders = hot.copies(1);
  for (const uint32_t flags : {0u, SPECKV_GET_STREAM}) {
    contenders.push_back({"get", [&, flags] {
                            wrong += !get_ours(live, number, layout, hot.pick(), hot.place(),
                                               &views, flags);
                            return uint64_t(1);
                          }});
  }
  contenders.push_back({"redis get", [&] {
                          wrong += !redis.get(hot.pick(), bytes);
                          return uint64_t(1);
                        }});
  contenders.push_back({"redis set", [&] {
                          const uint64_t i = hot.pick();
                          wrong += !redis.set(i, hot.object(i), bytes);
                          return uint64_t(1);
                        }});
  const uint32_t rounds = report.options().quick ? 200 : bytes >= 1 << 20 ? 1000 : 3000;
  const auto timings = take_turns(contenders, rounds, Clock::wall);
  if (wrong > 0) return report.skip("overhead/" + size, std::to_string(wrong) + " wrong answers");
  const Timing& copy = faster(timings[0], timings[1]);
  const Timing& ours = faster(timings[2], timings[3]);
  add_redis_row(report, "get/" + size + "/redis", bytes, timings[4], copy);
  add_redis_row(report, "put/" + size + "/redis", bytes, timings[5], copy);
  if (bytes < 64 << 10 || bytes > 1 << 20) return;
  add_overhead(report, bytes, ours.median_s - copy.median_s, timings[4].median_s - copy.median_s,
               ours, live.setting());
}

}  // namespace

void suite_redis(Report& report) {
  Redis redis;
  const std::string why = redis.start();
  if (!why.empty()) return report.skip("overhead/*, get/*/redis, put/*/redis", why);
  for (uint64_t bytes = 4 << 10; bytes <= 4 << 20; bytes *= 4) run_size(report, redis, bytes);
}

}  // namespace speckv::bench
