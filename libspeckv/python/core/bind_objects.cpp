// SPDX-License-Identifier: Apache-2.0
// bind_objects.cpp - Objects for Python: lists of names and of buffers in, tuples out. One pass
// over a list when it is submitted and one when it is drained; nothing else of Python runs per
// name.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "array.hpp"
#include "bind.hpp"
#include "objects.hpp"

namespace speckv::python {

namespace {

// The buffers of one batch, kept from moving and from being freed until it is drained.
class Borrowed {
 public:
  explicit Borrowed(size_t count) { views_.reserve(count); }
  ~Borrowed() {
    for (Py_buffer& view : views_) PyBuffer_Release(&view);
  }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;

  Batch::Memory add(PyObject* object, bool writable) {
    Py_buffer view;
    if (PyObject_GetBuffer(object, &view, writable ? PyBUF_CONTIG : PyBUF_CONTIG_RO) != 0)
      throw nb::python_error();
    views_.push_back(view);
    return {static_cast<uint8_t*>(view.buf), size_t(view.len)};
  }

 private:
  std::vector<Py_buffer> views_;
};

ObjectKey key_of(nb::handle name) {
  if (PyBytes_Check(name.ptr())) {
    char* data = nullptr;
    Py_ssize_t bytes = 0;
    if (PyBytes_AsStringAndSize(name.ptr(), &data, &bytes) != 0) throw nb::python_error();
    return object_key({data, size_t(bytes)});
  }
  Py_ssize_t bytes = 0;
  const char* text = PyUnicode_AsUTF8AndSize(name.ptr(), &bytes);
  if (!text) throw nb::python_error();
  return object_key({text, size_t(bytes)});
}

class PythonObjects {
 public:
  PythonObjects(const std::optional<std::string>& socket, const std::optional<std::string>& name,
                uint64_t arena_bytes, uint32_t timeout_ms, uint32_t wait_ms, int32_t daemon_uid,
                nb::handle layouts, bool rows, unsigned threads) {
    const Array<const speckv_layout> list(layouts, "layouts", Access::read);
    if (list.size() == 0 || threads == 0)
      raise_value_error("expected at least one layout and one thread");
    speckv_open_args args{};
    args.size = sizeof args;
    args.socket_path = socket ? socket->c_str() : nullptr;
    args.namespace_name = name ? name->c_str() : nullptr;
    args.arena_bytes = arena_bytes;
    args.timeout_ms = timeout_ms;
    args.daemon_uid = daemon_uid;
    speckv_session* session = nullptr;
    std::vector<Shape> shapes;
    int error = 0;
    {
      const nb::gil_scoped_release free;
      error = speckv_open(&args, &session);
      for (size_t i = 0; i < list.size() && error == 0; i++) {
        uint32_t number = 0;
        error = speckv_layout_register(session, list.data() + i, &number);
        // larger than the arena, or than a shard of the pool: the classes that fit are left
        if ((error == -EFBIG || error == -EMSGSIZE) && !shapes.empty()) {
          error = 0;
          break;
        }
        shapes.emplace_back(list.data()[i], number, rows ? Fill::rows : Fill::bytes);
      }
      if (error) speckv_close(session);
    }
    checked(error, session ? "speckv_layout_register" : "speckv_open");
    objects_ =
        std::make_unique<Objects>(session, std::move(shapes), threads,
                                  uint64_t{timeout_ms} * 1'000'000, uint64_t{wait_ms} * 1'000'000);
  }
  ~PythonObjects() { close(); }
  PythonObjects(const PythonObjects&) = delete;
  PythonObjects& operator=(const PythonObjects&) = delete;

  int event_fd() { return here().event_fd(); }
  int64_t get(const nb::list& names, const nb::list& buffers) {
    return submit(BatchKind::get, names, &buffers);
  }
  int64_t put(const nb::list& names, const nb::list& buffers) {
    return submit(BatchKind::put, names, &buffers);
  }
  int64_t look(const nb::list& names) { return submit(BatchKind::look, names, nullptr); }
  int64_t remove(const nb::list& names) { return submit(BatchKind::remove, names, nullptr); }

  // [(id, whether all of it is well, a sentence, by name whether it was read, stored ... )]
  nb::list drain() {
    nb::list all;
    for (const std::unique_ptr<Batch>& batch : here().drain()) {
      nb::list good;
      bool every = true;
      for (const uint8_t each : batch->good) {
        good.append(nb::bool_(each != 0));
        every &= each != 0;
      }
      // what is not there is an answer; what could not be stored is none
      const bool well = batch->error.empty() && (batch->kind != BatchKind::put || every);
      all.append(nb::make_tuple(batch->id, well, batch->error, good));
    }
    return all;
  }
  void stats(nb::handle ret_stats) {
    const Array<struct speckv_stats> stats(ret_stats, "ret_stats", Access::write);
    if (stats.size() != 1) raise_value_error("ret_stats: expected one struct");
    stats.data()->size = sizeof(struct speckv_stats);
    checked(here().stats(stats.data()), "speckv_stats");
  }
  void close() {
    if (!objects_) return;
    if (pid_ != getpid()) {
      objects_.release()->leave_to_parent();  // its threads are the parent's
      return;
    }
    std::unique_ptr<Objects> ending = std::move(objects_);
    std::vector<std::unique_ptr<Batch>> left;
    {
      const nb::gil_scoped_release free;
      left = ending->close();
    }
  }

 private:
  Objects& here() {
    if (!objects_) raise_errno(-ESHUTDOWN, "Objects");
    if (pid_ != getpid()) raise_errno(-ECHILD, "Objects");
    return *objects_;
  }
  int64_t submit(BatchKind kind, const nb::list& names, const nb::list* buffers) {
    Objects& objects = here();
    const size_t count = names.size();
    if (count == 0 || (buffers && buffers->size() != count))
      raise_value_error("expected at least one name, and as many buffers as names");
    auto batch = std::make_unique<Batch>();
    batch->kind = kind;
    batch->keys.reserve(count);
    for (size_t i = 0; i < count; i++) batch->keys.push_back(key_of(names[i]));
    if (buffers) {
      auto borrowed = std::make_shared<Borrowed>(count);
      batch->owner = borrowed;
      batch->memory.reserve(count);
      for (size_t i = 0; i < count; i++)
        batch->memory.push_back(
            borrowed->add(nb::handle((*buffers)[i]).ptr(), kind == BatchKind::get));
    }
    const int64_t id = objects.submit(std::move(batch));
    if (id < 0) raise_errno(int(id), "Objects");
    return id;
  }

  std::unique_ptr<Objects> objects_;
  const pid_t pid_ = getpid();
};

}  // namespace

void bind_objects(nb::module_& module) {
  using namespace nb::literals;
  nb::class_<PythonObjects>(module, "Objects")
      .def(nb::init<const std::optional<std::string>&, const std::optional<std::string>&, uint64_t,
                    uint32_t, uint32_t, int32_t, nb::handle, bool, unsigned>(),
           "socket"_a.none(), "namespace"_a.none(), "arena_bytes"_a, "timeout_ms"_a, "wait_ms"_a,
           "daemon_uid"_a, "layouts"_a, "rows"_a, "threads"_a)
      .def("event_fd", &PythonObjects::event_fd)
      .def("get", &PythonObjects::get, "names"_a, "buffers"_a)
      .def("put", &PythonObjects::put, "names"_a, "buffers"_a)
      .def("look", &PythonObjects::look, "names"_a)
      .def("remove", &PythonObjects::remove, "names"_a)
      .def("drain", &PythonObjects::drain)
      .def("stats", &PythonObjects::stats, "ret_stats"_a)
      .def("close", &PythonObjects::close);
}

}  // namespace speckv::python
