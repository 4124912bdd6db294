// SPDX-License-Identifier: Apache-2.0
// session.cpp - see session.hpp.
#include "session.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <ctime>

#include "array.hpp"
#include "bind.hpp"

namespace speckv::python {

namespace {

using Key = uint8_t[SPECKV_KEY_BYTES];

uint64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
}

// The batch of store(): which of its ops are still to be submitted (-EAGAIN), which are under way
// (-EINPROGRESS) and which are answered stands in each op's ret_result.
class Storing {
 public:
  Storing(speckv_session* session, uint32_t layout, speckv_put_op* ops, size_t count)
      : session_(session), layout_(layout), ops_(ops), count_(count) {
    static std::atomic<uint64_t> next{uint64_t{1} << 63};  // apart from what callers of put() use
    first_user_data_ = next.fetch_add(count);
    for (size_t i = 0; i < count; i++) {
      ops[i].user_data = first_user_data_ + i;
      ops[i].ret_result = -EAGAIN;
    }
    to_submit_ = count;
  }
  // Returns: 0, or a negative errno that ends the batch: ops without an answer have it then, and
  // those that were under way may or may not be stored.
  int run(uint64_t until_ns) {
    for (;;) {
      const size_t before = to_submit_;
      if (const int error = submit()) return give_up(error);
      reap();
      if (!to_submit_ && !under_way_) return 0;
      if (to_submit_ != before) continue;
      const uint64_t now = now_ns();
      if (now >= until_ns) return give_up(-ETIMEDOUT);
      const int error = speckv_wait(session_, std::min(until_ns - now, wait_ns_max));
      if (error == -ENOTCONN) {  // nothing is under way, or the daemon is gone: look once more
        reap();
        if (under_way_) return give_up(-ECONNRESET);
        if (to_submit_ && to_submit_ == before) return give_up(-EAGAIN);
      } else if (error != 0 && error != -ETIMEDOUT) {
        return give_up(error);
      }
    }
  }
  int stored() const { return stored_; }

 private:
  static constexpr uint64_t wait_ns_max = 100'000'000;

  // Submits runs of ops that are not submitted yet, until the arena or the ring is full.
  int submit() {
    for (size_t i = 0; i < count_ && to_submit_;) {
      size_t end = i;
      while (end < count_ && end - i < SPECKV_BATCH_MAX && ops_[end].ret_result == -EAGAIN) end++;
      if (end == i) {
        i++;
        continue;
      }
      const int tried = speckv_put(session_, layout_, ops_ + i, unsigned(end - i));
      if (tried < 0) return tried == -EAGAIN ? 0 : tried;
      bool full = false;
      for (; i < end; i++) {
        int32_t& result = ops_[i].ret_result;
        full |= result == -EAGAIN;
        if (result == -EAGAIN) continue;
        to_submit_--;
        if (result != 0) continue;
        result = -EINPROGRESS;
        under_way_++;
      }
      if (full) return 0;
    }
    return 0;
  }
  void reap() {
    std::array<speckv_completion, 256> done;
    for (int n; (n = speckv_reap(session_, done.data(), unsigned(done.size()))) > 0;)
      for (int i = 0; i < n; i++) {
        const uint64_t place = done[i].user_data - first_user_data_;
        if (place >= count_) continue;  // of another batch, which was given up
        ops_[place].ret_result = done[i].result;
        stored_ += done[i].result == 0;
        under_way_--;
      }
  }
  int give_up(int error) {
    for (size_t i = 0; i < count_; i++)
      if (ops_[i].ret_result == -EAGAIN || ops_[i].ret_result == -EINPROGRESS)
        ops_[i].ret_result = error;
    return error;
  }

  speckv_session* session_;
  uint32_t layout_;
  speckv_put_op* ops_;
  size_t count_, to_submit_ = 0, under_way_ = 0;
  uint64_t first_user_data_ = 0;
  int stored_ = 0;
};

}  // namespace

Session::Session(const std::optional<std::string>& socket, const std::optional<std::string>& name,
                 uint64_t arena_bytes, uint32_t timeout_ms, int32_t daemon_uid) {
  speckv_open_args args{};
  args.size = sizeof args;
  args.socket_path = socket ? socket->c_str() : nullptr;
  args.namespace_name = name ? name->c_str() : nullptr;
  args.arena_bytes = arena_bytes;
  args.timeout_ms = timeout_ms;
  args.daemon_uid = daemon_uid;
  int error = 0;
  {
    const nb::gil_scoped_release free;
    error = speckv_open(&args, &handle_);
  }
  checked(error, "speckv_open");
}

void Session::close() {
  if (!handle_) return;
  const nb::gil_scoped_release free;
  speckv_close(handle_);  // the handle stays good for -ESHUTDOWN
}

int Session::event_fd() const { return checked(speckv_event_fd(handle_), "speckv_event_fd"); }

uint32_t Session::register_layout(nb::handle layout) const {
  const Array<speckv_layout> desc(layout, "layout", Access::read);
  if (desc.size() != 1) raise_value_error("layout: expected one layout");
  uint32_t number = 0;
  int error = 0;
  {
    const nb::gil_scoped_release free;
    error = speckv_layout_register(handle_, desc.data(), &number);
  }
  checked(error, "speckv_layout_register");
  return number;
}

int Session::get(uint32_t layout, nb::handle ops) const {
  const Array<speckv_get_op> batch(ops, "ops", Access::write);
  int hits = 0;
  {
    const nb::gil_scoped_release free;
    hits = speckv_get(handle_, layout, batch.data(), unsigned(batch.size()));
  }
  return checked(hits, "speckv_get");
}

int Session::put(uint32_t layout, nb::handle ops) const {
  const Array<speckv_put_op> batch(ops, "ops", Access::write);
  int submitted = 0;
  {
    const nb::gil_scoped_release free;
    submitted = speckv_put(handle_, layout, batch.data(), unsigned(batch.size()));
  }
  return checked(submitted, "speckv_put");
}

int Session::store(uint32_t layout, nb::handle ops, uint64_t timeout_ns) const {
  const Array<speckv_put_op> batch(ops, "ops", Access::write);
  Storing storing(handle_, layout, batch.data(), batch.size());
  int error = 0;
  {
    const nb::gil_scoped_release free;
    error = storing.run(now_ns() + timeout_ns);
  }
  checked(error, "speckv_put");
  return storing.stored();
}

int Session::exists(uint32_t layout, nb::handle keys, nb::handle ret_hits) const {
  const Array<const Key> names(keys, "keys", Access::read);
  const Array<uint8_t> hits(ret_hits, "ret_hits", Access::write);
  if (hits.size() < names.size()) raise_value_error("ret_hits: shorter than keys");
  int leading = 0;
  {
    const nb::gil_scoped_release free;
    leading = speckv_exists(handle_, layout, names.data(), unsigned(names.size()), hits.data());
  }
  return checked(leading, "speckv_exists");
}

nb::tuple Session::hold(uint32_t layout, nb::handle keys, nb::handle ret_hits, uint64_t ttl_ns,
                        uint64_t timeout_ns) const {
  const Array<const Key> names(keys, "keys", Access::read);
  const Array<uint8_t> hits(ret_hits, "ret_hits", Access::write);
  if (hits.size() < names.size()) raise_value_error("ret_hits: shorter than keys");
  uint64_t hold = 0;
  int leading = 0;
  {
    const nb::gil_scoped_release free;
    leading = speckv_hold(handle_, layout, names.data(), unsigned(names.size()), ttl_ns, timeout_ns,
                          hits.data(), &hold);
  }
  checked(leading, "speckv_hold");
  return nb::make_tuple(leading, hold);
}

void Session::unhold(uint64_t hold) const {
  int error = 0;
  {
    const nb::gil_scoped_release free;
    error = speckv_unhold(handle_, hold);
  }
  checked(error, "speckv_unhold");
}

void Session::adopt(uint64_t hold, uint64_t timeout_ns) const {
  int error = 0;
  {
    const nb::gil_scoped_release free;
    error = speckv_adopt(handle_, hold, timeout_ns);
  }
  checked(error, "speckv_adopt");
}

int Session::prefetch(uint32_t layout, nb::handle keys) const {
  const Array<const Key> names(keys, "keys", Access::read);
  int passed = 0;
  {
    const nb::gil_scoped_release free;
    passed = speckv_prefetch(handle_, layout, names.data(), unsigned(names.size()));
  }
  return checked(passed, "speckv_prefetch");
}

int Session::remove(uint32_t layout, nb::handle keys, uint64_t user_data) const {
  const Array<const Key> names(keys, "keys", Access::read);
  int submitted = 0;
  {
    const nb::gil_scoped_release free;
    submitted = speckv_remove(handle_, layout, names.data(), unsigned(names.size()), user_data);
  }
  return checked(submitted, "speckv_remove");
}

int Session::reap(nb::handle ret_completions) const {
  const Array<speckv_completion> done(ret_completions, "ret_completions", Access::write);
  return checked(speckv_reap(handle_, done.data(), unsigned(done.size())), "speckv_reap");
}

bool Session::wait(uint64_t timeout_ns) const {
  int error = 0;
  {
    const nb::gil_scoped_release free;
    error = speckv_wait(handle_, timeout_ns);
  }
  if (error == -ETIMEDOUT || error == -ENOTCONN) return false;
  checked(error, "speckv_wait");
  return true;
}

void Session::stats(nb::handle ret_stats) const {
  const Array<struct speckv_stats> stats(ret_stats, "ret_stats", Access::write);
  if (stats.size() != 1) raise_value_error("ret_stats: expected one struct");
  stats.data()->size = sizeof(struct speckv_stats);
  checked(::speckv_stats(handle_, stats.data()), "speckv_stats");
}

void bind_session(nb::module_& module) {
  using namespace nb::literals;
  nb::class_<Session>(module, "Session")
      .def(nb::init<const std::optional<std::string>&, const std::optional<std::string>&, uint64_t,
                    uint32_t, int32_t>(),
           "socket"_a = nb::none(), "namespace"_a = nb::none(), "arena_bytes"_a = 0,
           "timeout_ms"_a = 0, "daemon_uid"_a = -1)
      .def("close", &Session::close)
      .def("event_fd", &Session::event_fd)
      .def("register_layout", &Session::register_layout, "layout"_a)
      .def("get", &Session::get, "layout"_a, "ops"_a)
      .def("put", &Session::put, "layout"_a, "ops"_a)
      .def("store", &Session::store, "layout"_a, "ops"_a, "timeout_ns"_a)
      .def("exists", &Session::exists, "layout"_a, "keys"_a, "ret_hits"_a)
      .def("hold", &Session::hold, "layout"_a, "keys"_a, "ret_hits"_a, "ttl_ns"_a, "timeout_ns"_a)
      .def("unhold", &Session::unhold, "hold"_a)
      .def("adopt", &Session::adopt, "hold"_a, "timeout_ns"_a)
      .def("prefetch", &Session::prefetch, "layout"_a, "keys"_a)
      .def("remove", &Session::remove, "layout"_a, "keys"_a, "user_data"_a)
      .def("reap", &Session::reap, "ret_completions"_a)
      .def("wait", &Session::wait, "timeout_ns"_a)
      .def("stats", &Session::stats, "ret_stats"_a);
}

}  // namespace speckv::python
