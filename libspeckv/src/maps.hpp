// SPDX-License-Identifier: Apache-2.0
// maps.hpp - maps the three files of a Welcome into a Connection, checked; populates them, in steps
// where a caller must not wait; and undoes it.
//
// Every size that the daemon names is checked against the file itself, so that no access can lie
// outside. Called by connect.cpp and teardown.cpp. Never talks on the socket.
#pragma once

#include "shm/wire.hpp"
#include "src/connection.hpp"

namespace speckv::lib {

// fds: those of wire::Descriptor, then a doorbell per shard. Keeps event and doorbells, closes the
// others; on failure closes all. Returns: 0, -EPROTO (sizes or formats that do not fit this
// library) or -errno.
int map_connection(Connection& connection, const wire::Welcome& welcome, const int* fds);
// Asks for page table entries of up to `most` bytes more. Until all are there a read may fault.
// Requires: control locked. Returns: true when all of it is populated.
bool populate(Connection& connection, uint64_t most);
void unmap(Map& map);
// Also unmaps what is mapped of an unfinished connection.
void close_descriptors(Connection& connection);
void close_fd(int& fd);

}  // namespace speckv::lib
