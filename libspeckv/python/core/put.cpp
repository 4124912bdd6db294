// SPDX-License-Identifier: Apache-2.0
// put.cpp - Put: one block, layer by layer, invisible until its commit completes. A Put that is
// dropped without commit is aborted.
#include <cerrno>

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

}  // namespace

void bind_put(nb::module_& module) {
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

}  // namespace speckv::python
