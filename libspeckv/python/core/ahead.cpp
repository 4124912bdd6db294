// SPDX-License-Identifier: Apache-2.0
// ahead.cpp - asking ahead for blocks that lie below the pool, waiting for them, keeping them:
// Session's calls of speckv/ahead.h, and Prefetch, which is ended where it is dropped.
#include "ahead.hpp"

#include <cerrno>

#include "array.hpp"

namespace speckv::python {

namespace {

using Key = uint8_t[SPECKV_KEY_BYTES];

class Prefetch {
 public:
  Prefetch(const Session& session, uint32_t layout, nb::handle keys, uint64_t deadline_ns,
           uint64_t budget_bytes, uint64_t user_data)
      : session_(session.handle()) {
    const Array<const Key> names(keys, "keys", Access::read);
    speckv_prefetch_args args{};
    args.size = sizeof args;
    args.tier = SPECKV_TIER_POOL;
    args.deadline_ns = deadline_ns;
    args.budget_bytes = budget_bytes;
    args.user_data = user_data;
    {
      const nb::gil_scoped_release free;
      asked_ = speckv_prefetch_begin(session_, layout, names.data(), unsigned(names.size()), &args,
                                     &number_);
    }
    checked(asked_, "speckv_prefetch_begin");
    keys_ = names.size();
  }
  ~Prefetch() { static_cast<void>(end_here()); }
  Prefetch(const Prefetch&) = delete;
  Prefetch& operator=(const Prefetch&) = delete;

  int asked() const { return asked_; }
  size_t keys() const { return keys_; }
  // Returns: how many leading keys of those that ret_outcomes has room for are ready.
  int outcomes(nb::handle ret_outcomes) const {
    const Array<speckv_outcome> all(ret_outcomes, "ret_outcomes", Access::write);
    int leading = 0;
    {
      const nb::gil_scoped_release free;
      leading = speckv_prefetch_outcomes(session_, number_, all.data(), unsigned(all.size()));
    }
    return checked(leading, "speckv_prefetch_outcomes");
  }
  // Nothing where it has ended already.
  void end() { checked(end_here(), "speckv_prefetch_end"); }

 private:
  int end_here() {
    const uint64_t number = number_;
    number_ = 0;
    if (number == 0) return 0;
    const nb::gil_scoped_release free;
    return speckv_prefetch_end(session_, number);
  }

  speckv_session* session_;
  uint64_t number_ = 0;  // 0: none, or ended
  int asked_ = 0;
  size_t keys_ = 0;
};

}  // namespace

int Session::locate(uint32_t layout, nb::handle keys, nb::handle ret_tiers,
                    uint64_t timeout_ns) const {
  const Array<const Key> names(keys, "keys", Access::read);
  const Array<int32_t> tiers(ret_tiers, "ret_tiers", Access::write);
  if (tiers.size() < names.size()) raise_value_error("ret_tiers: shorter than keys");
  int leading = 0;
  {
    const nb::gil_scoped_release free;
    leading = speckv_locate(handle_, layout, names.data(), unsigned(names.size()), timeout_ns,
                            tiers.data());
  }
  return checked(leading, "speckv_locate");
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

int Session::load(uint32_t layout, nb::handle ops, uint64_t deadline_ns) const {
  const Array<speckv_get_op> batch(ops, "ops", Access::write);
  int leading = 0;
  {
    const nb::gil_scoped_release free;
    leading = speckv_load(handle_, layout, batch.data(), unsigned(batch.size()), deadline_ns);
  }
  return checked(leading, "speckv_load");
}

nb::tuple Session::retain(uint32_t layout, nb::handle keys, nb::handle ret_results, uint64_t ttl_ns,
                          uint64_t timeout_ns) const {
  const Array<const Key> names(keys, "keys", Access::read);
  const Array<int32_t> results(ret_results, "ret_results", Access::write);
  if (results.size() < names.size()) raise_value_error("ret_results: shorter than keys");
  uint64_t retain = 0;
  int leading = 0;
  {
    const nb::gil_scoped_release free;
    leading = speckv_retain(handle_, layout, names.data(), unsigned(names.size()), ttl_ns,
                            timeout_ns, results.data(), &retain);
  }
  checked(leading, "speckv_retain");
  return nb::make_tuple(leading, retain);
}

void Session::retain_end(uint64_t retain) const {
  int error = 0;
  {
    const nb::gil_scoped_release free;
    error = speckv_retain_end(handle_, retain);
  }
  checked(error, "speckv_retain_end");
}

int Session::demote(uint32_t layout, nb::handle keys, uint64_t user_data) const {
  const Array<const Key> names(keys, "keys", Access::read);
  int submitted = 0;
  {
    const nb::gil_scoped_release free;
    submitted = speckv_demote(handle_, layout, names.data(), unsigned(names.size()), user_data);
  }
  return checked(submitted, "speckv_demote");
}

int Session::hint(uint32_t layout, nb::handle keys, uint32_t kind, uint64_t returns_ns) const {
  const Array<const Key> names(keys, "keys", Access::read);
  struct speckv_hint hint {};
  hint.size = sizeof hint;
  hint.kind = kind;
  hint.returns_ns = returns_ns;
  int passed = 0;
  {
    const nb::gil_scoped_release free;
    passed = speckv_hint(handle_, layout, names.data(), unsigned(names.size()), &hint);
  }
  return checked(passed, "speckv_hint");
}

void bind_ahead(nb::module_& module, nb::class_<Session>& session) {
  using namespace nb::literals;
  session.def("locate", &Session::locate, "layout"_a, "keys"_a, "ret_tiers"_a, "timeout_ns"_a)
      .def("prefetch", &Session::prefetch, "layout"_a, "keys"_a)
      .def("load", &Session::load, "layout"_a, "ops"_a, "deadline_ns"_a)
      .def("retain", &Session::retain, "layout"_a, "keys"_a, "ret_results"_a, "ttl_ns"_a,
           "timeout_ns"_a)
      .def("retain_end", &Session::retain_end, "retain"_a)
      .def("demote", &Session::demote, "layout"_a, "keys"_a, "user_data"_a)
      .def("hint", &Session::hint, "layout"_a, "keys"_a, "kind"_a, "returns_ns"_a);
  nb::class_<Prefetch>(module, "Prefetch")
      .def(nb::init<const Session&, uint32_t, nb::handle, uint64_t, uint64_t, uint64_t>(),
           nb::keep_alive<1, 2>(), "session"_a, "layout"_a, "keys"_a, "deadline_ns"_a,
           "budget_bytes"_a, "user_data"_a)
      .def_prop_ro("asked", &Prefetch::asked)
      .def_prop_ro("keys", &Prefetch::keys)
      .def("outcomes", &Prefetch::outcomes, "ret_outcomes"_a)
      .def("end", &Prefetch::end);
}

}  // namespace speckv::python
