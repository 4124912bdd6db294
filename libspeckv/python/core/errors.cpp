// SPDX-License-Identifier: Apache-2.0
// errors.cpp - see errors.hpp.
#include "errors.hpp"

#include <cerrno>
#include <cstring>
#include <string>

namespace speckv::python {

// What include/speckv/speckv.h says of an errno, where strerror() says something else.
const char* meaning(int error) {
  switch (error) {
    case EAGAIN:
      return "the session's arena, ring or table of prefetches is full: reap or end some, then try "
             "again";
    case ENOSPC:
      return "the pool is full, or one block of this layout does not fit";
    case EFBIG:
      return "one block of this layout is larger than the session's arena: ask for more "
             "arena_bytes";
    case EDQUOT:
      return "the namespace's quota is used up";
    case EBADF:
      return "no such layout, put, hold, retain or prefetch in this session";
    case ENODATA:
      return "a batch of no operations, or a put that is not whole yet";
    case E2BIG:
      return "a batch of more operations than SPECKV_BATCH_MAX";
    case ENOTCONN:
      return "the daemon is gone and could not be reached again yet";
    case ECHILD:
      return "this process was forked: open a session of its own";
    case ESHUTDOWN:
      return "the session was closed";
    case ETIMEDOUT:
      return "no answer in time; the block may or may not be stored";
    case ECONNRESET:
      return "the daemon went away before it answered: the block may or may not be stored";
    case EBUSY:
      return "the block is held: it can be removed when the hold ends";
    case ERANGE:
      return "layers, outcomes or a budget lie outside of what they are of";
    case EOPNOTSUPP:
      return "there is no such tier";
    case EPROTO:
      return "the daemon speaks another major version";
    case EPERM:
      return "the daemon runs as a user that was not expected: set daemon_uid";
    case EACCES:
      return "the daemon refused this uid or namespace";
    case ENOENT:
      return "no socket there: is speckvd running?";
    default:
      return std::strerror(error);
  }
}

void raise_errno(int result, const char* what) {
  const char* sentence = meaning(-result);
  // what is not there: a socket where a session is opened, a block in other calls, else a file
  if (result == -ENOENT && std::strncmp(what, "speckv_", 7) != 0) sentence = std::strerror(ENOENT);
  else if (result == -ENOENT && std::strcmp(what, "speckv_open") != 0)
    sentence = "no such block in the pool";
  const std::string text = std::string(what) + ": " + sentence;
  PyObject* args = Py_BuildValue("(is)", -result, text.c_str());
  PyErr_SetObject(PyExc_OSError, args);
  Py_XDECREF(args);
  throw nb::python_error();
}

void raise_value_error(const char* text) {
  PyErr_SetString(PyExc_ValueError, text);
  throw nb::python_error();
}

}  // namespace speckv::python
