// SPDX-License-Identifier: Apache-2.0
// session.cpp - see session.hpp.
#include "session.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <cerrno>

#include "ahead.hpp"
#include "array.hpp"
#include "bind.hpp"
#include "writing.hpp"

namespace speckv::python {

namespace {

using Key = uint8_t[SPECKV_KEY_BYTES];

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
  return storing.good();
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

int Session::remove(uint32_t layout, nb::handle keys, uint64_t user_data) const {
  const Array<const Key> names(keys, "keys", Access::read);
  int submitted = 0;
  {
    const nb::gil_scoped_release free;
    submitted = speckv_remove(handle_, layout, names.data(), unsigned(names.size()), user_data);
  }
  return checked(submitted, "speckv_remove");
}

int Session::changes(nb::handle cursor, nb::handle ret_changes) const {
  const Array<speckv_cursor> at(cursor, "cursor", Access::write);
  if (at.size() != 1) raise_value_error("cursor: expected one struct");
  const Array<speckv_change> changes(ret_changes, "ret_changes", Access::write);
  int count = 0;
  {
    const nb::gil_scoped_release free;
    count = speckv_changes(handle_, at.data(), changes.data(), unsigned(changes.size()));
  }
  return count == -EOVERFLOW ? count : checked(count, "speckv_changes");
}

nb::tuple Session::resident(uint64_t position, nb::handle ret_changes) const {
  const Array<speckv_change> changes(ret_changes, "ret_changes", Access::write);
  int count = 0;
  {
    const nb::gil_scoped_release free;
    count = speckv_resident(handle_, &position, changes.data(), unsigned(changes.size()));
  }
  checked(count, "speckv_resident");
  return nb::make_tuple(count, position);
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
  nb::class_<Session> session(module, "Session");
  session
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
      .def("remove", &Session::remove, "layout"_a, "keys"_a, "user_data"_a)
      .def("changes", &Session::changes, "cursor"_a, "ret_changes"_a)
      .def("resident", &Session::resident, "position"_a, "ret_changes"_a)
      .def("reap", &Session::reap, "ret_completions"_a)
      .def("wait", &Session::wait, "timeout_ns"_a)
      .def("stats", &Session::stats, "ret_stats"_a);
  bind_ahead(module, session);
}

}  // namespace speckv::python
