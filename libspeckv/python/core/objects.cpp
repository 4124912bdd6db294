// SPDX-License-Identifier: Apache-2.0
// objects.cpp - see objects.hpp: the queues and the threads. What they do is in object_io.cpp.
#include "objects.hpp"

#include <openssl/sha.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace speckv::python {

namespace {

constexpr size_t part_keys_min = 4;  // fewer gain nothing from a second reader

void ring(int event) {
  const uint64_t one = 1;
  static_cast<void>(!write(event, &one, sizeof one));
}

}  // namespace

ObjectKey object_key(std::string_view name) {
  ObjectKey key;
  SHA256(reinterpret_cast<const uint8_t*>(name.data()), name.size(), key.data());
  return key;
}

Objects::Objects(speckv_session* session, std::vector<Shape> shapes, unsigned threads,
                 uint64_t timeout_ns, uint64_t wait_ns)
    : session_(session),
      shapes_(std::move(shapes)),
      used_(shapes_.size()),
      timeout_ns_(timeout_ns),
      wait_ns_(wait_ns),
      event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  for (unsigned i = 0; i < threads; i++) threads_.emplace_back([this] { read_loop(); });
  threads_.emplace_back([this] { write_loop(); });
}

Objects::~Objects() { close(); }

int64_t Objects::submit(std::unique_ptr<Batch> batch) {
  const std::lock_guard lock(mutex_);
  if (closed_) return -ESHUTDOWN;
  Batch& it = *batch;
  const auto id = int64_t(it.id = next_id_++);
  it.good.assign(it.keys.size(), 0);
  if (it.kind == BatchKind::put || it.kind == BatchKind::remove) {
    writes_.push_back(&it);
    writes_ready_.notify_one();
  } else if (it.kind == BatchKind::look) {
    reads_.push_front({&it, 0, it.keys.size()});  // a scheduler waits for it
    reads_ready_.notify_one();
  } else {
    const size_t count = it.keys.size(), readers = threads_.size() - 1;
    const size_t parts = std::clamp<size_t>(count / part_keys_min, 1, readers);
    it.parts = parts;
    for (size_t p = 0; p < parts; p++)
      reads_.push_back({&it, count * p / parts, count * (p + 1) / parts});
    reads_ready_.notify_all();
  }
  under_way_.emplace(it.id, std::move(batch));
  return id;
}

std::vector<std::unique_ptr<Batch>> Objects::drain() {
  const std::lock_guard lock(mutex_);
  uint64_t count;
  if (!closed_) static_cast<void>(!::read(event_, &count, sizeof count));
  return std::move(done_);
}

void Objects::finish(Batch& batch) {
  if (batch.parts.fetch_sub(1) != 1) return;
  const std::lock_guard lock(mutex_);
  const auto at = under_way_.find(batch.id);
  done_.push_back(std::move(at->second));
  under_way_.erase(at);
  ring(event_);
}

void Objects::read_loop() {
  for (;;) {
    Part part;
    {
      std::unique_lock lock(mutex_);
      reads_ready_.wait(lock, [this] { return stop_ || !reads_.empty(); });
      if (stop_) return;
      part = reads_.front();
      reads_.pop_front();
    }
    part.batch->kind == BatchKind::look ? look(*part.batch) : read(part);
    finish(*part.batch);
  }
}

void Objects::write_loop() {
  for (;;) {
    Batch* batch;
    {
      std::unique_lock lock(mutex_);
      writes_ready_.wait(lock, [this] { return stop_ || !writes_.empty(); });
      if (stop_) return;
      batch = writes_.front();
      writes_.pop_front();
    }
    batch->kind == BatchKind::put ? put(*batch) : remove(*batch);
    finish(*batch);
  }
}

std::vector<std::unique_ptr<Batch>> Objects::close() {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return {};
    closed_ = true;
    stop_ = true;
    reads_.clear();
    writes_.clear();
  }
  reads_ready_.notify_all();
  writes_ready_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  speckv_close(session_);
  ::close(event_);
  std::vector<std::unique_ptr<Batch>> left = std::move(done_);
  for (auto& [id, batch] : under_way_) left.push_back(std::move(batch));
  under_way_.clear();
  return left;
}

void Objects::leave_to_parent() {
  ::close(event_);
  speckv_close(session_);
}

}  // namespace speckv::python
