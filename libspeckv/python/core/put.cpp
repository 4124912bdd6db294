// SPDX-License-Identifier: Apache-2.0
// put.cpp - blocks being written layer by layer, invisible until their commit completes: Put (one),
// Puts (a batch). What is dropped without commit is aborted.
#include <cerrno>
#include <vector>

#include "array.hpp"
#include "bind.hpp"
#include "session.hpp"

namespace speckv::python {

namespace {

class Put {
 public:
  Put(const Session& session, uint32_t layout, nb::handle key, nb::handle meta) {
    const Array<const uint8_t[SPECKV_KEY_BYTES]> name(key, "key", Access::read);
    const Array<const speckv_meta> facts(meta, "meta", Access::read);
    if (name.size() != 1 || facts.size() != 1) raise_value_error("expected one key and one meta");
    checked(speckv_put_begin(session.handle(), layout, *name.data(), facts.data(), &put_),
            "speckv_put_begin");
  }
  ~Put() { abort(); }
  Put(const Put&) = delete;
  Put& operator=(const Put&) = delete;

  // views: K and V of each of these layers, 2 * layer_count of them.
  void layers(uint32_t layer_first, nb::handle views) {
    const Array<const speckv_view> list(views, "views", Access::read);
    if (list.size() % 2) raise_value_error("views: expected K and V of each layer");
    const speckv_buf buf{layer_first, uint32_t(list.size() / 2), list.data()};
    int error = 0;
    {
      const nb::gil_scoped_release free;
      error = put_ ? speckv_put_layers(put_, &buf) : -EBADF;
    }
    checked(error, "speckv_put_layers");
  }
  void commit(uint64_t user_data) {
    checked(put_ ? speckv_put_commit(put_, user_data) : -EBADF, "speckv_put_commit");
    put_ = nullptr;
  }
  void abort() {
    if (put_) speckv_put_abort(put_);
    put_ = nullptr;
  }

 private:
  struct speckv_put* put_ = nullptr;
};

// The blocks of a batch of put operations, whose views must stay alive. ret_result of each says how
// it stands: 0, or why it is not written (any more). One thread at a time.
class Puts {
 public:
  Puts(const Session& session, uint32_t layout, nb::handle ops, nb::handle /* kept alive */)
      : ops_(ops, "ops", Access::write), puts_(ops_.size()) {
    const nb::gil_scoped_release free;
    for (size_t i = 0; i < puts_.size(); i++)
      op(i).ret_result =
          speckv_put_begin(session.handle(), layout, op(i).key, &op(i).meta, &puts_[i]);
  }
  ~Puts() { abort(); }
  Puts(const Puts&) = delete;
  Puts& operator=(const Puts&) = delete;

  // Layers [first, first + count) of all blocks that still stand. Returns: how many do after it.
  int layers(uint32_t first, uint32_t count) {
    const nb::gil_scoped_release free;
    return each([&](size_t i) {
      const speckv_buf& all = op(i).buf;
      if (first < all.layer_first || count > all.layer_count ||
          first - all.layer_first > all.layer_count - count)
        return -ERANGE;
      const speckv_buf part{first, count, all.views + size_t{2} * (first - all.layer_first)};
      return speckv_put_layers(puts_[i], &part);
    });
  }
  // Submits what still stands: one completion follows for each. Returns: how many.
  int commit() {
    const nb::gil_scoped_release free;
    const int submitted =
        each([&](size_t i) { return speckv_put_commit(puts_[i], op(i).user_data); });
    puts_.assign(puts_.size(), nullptr);
    return submitted;
  }
  void abort() {
    for (auto*& put : puts_) {
      if (put) speckv_put_abort(put);
      put = nullptr;
    }
  }

 private:
  speckv_put_op& op(size_t i) const { return ops_.data()[i]; }
  // Calls f of each block that stands; one of which f fails is aborted. Returns: how many stand.
  template <typename F>
  int each(F f) {
    int standing = 0;
    for (size_t i = 0; i < puts_.size(); i++) {
      if (!puts_[i]) continue;
      op(i).ret_result = f(i);
      standing += op(i).ret_result == 0;
      if (op(i).ret_result == 0) continue;
      speckv_put_abort(puts_[i]);
      puts_[i] = nullptr;
    }
    return standing;
  }

  Array<speckv_put_op> ops_;
  std::vector<struct speckv_put*> puts_;  // null: not begun, or ended
};

void bind_one(nb::module_& module) {
  using namespace nb::literals;
  nb::class_<Put>(module, "Put")
      .def(nb::init<const Session&, uint32_t, nb::handle, nb::handle>(), nb::keep_alive<1, 2>(),
           "session"_a, "layout"_a, "key"_a, "meta"_a)
      .def("layers", &Put::layers, "layer_first"_a, "views"_a)
      .def("commit", &Put::commit, "user_data"_a = 0)
      .def("abort", &Put::abort)
      .def("__enter__", [](nb::handle self) { return nb::borrow(self); })
      .def(
          "__exit__", [](Put& put, nb::handle, nb::handle, nb::handle) { put.abort(); },
          "kind"_a.none(), "error"_a.none(), "trace"_a.none());
}

}  // namespace

void bind_put(nb::module_& module) {
  using namespace nb::literals;
  bind_one(module);
  nb::class_<Puts>(module, "Puts")
      .def(nb::init<const Session&, uint32_t, nb::handle, nb::handle>(), nb::keep_alive<1, 2>(),
           nb::keep_alive<1, 5>(), "session"_a, "layout"_a, "ops"_a, "batch"_a)
      .def("layers", &Puts::layers, "first"_a, "count"_a)
      .def("commit", &Puts::commit)
      .def("abort", &Puts::abort)
      .def("__enter__", [](nb::handle self) { return nb::borrow(self); })
      .def(
          "__exit__", [](Puts& puts, nb::handle, nb::handle, nb::handle) { puts.abort(); },
          "kind"_a.none(), "error"_a.none(), "trace"_a.none());
}

}  // namespace speckv::python
