// SPDX-License-Identifier: Apache-2.0
// shape.hpp - how an object of some bytes lies in a block of one layout, as views.
//
// Two ways. `rows`: the object is the block, [K|V][layer][token][head][channel], no byte more or
// less. `bytes`: the object means nothing; it fills the block's pieces (K and V of each layer) one
// after the other, and the block's last 16 bytes say how long it is. Such an object is not copied
// to be cut: whole pieces are views of the caller's memory, and only the piece that it ends in, the
// empty ones after it and the last one lie in scratch. Never touches Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "speckv/speckv.h"

namespace speckv::python {

enum class Fill { rows, bytes };

class Shape {
 public:
  // number: the layout's, in the session. Requires: a layout that passed its check.
  Shape(const speckv_layout& layout, uint32_t number, Fill fill);

  uint32_t number() const { return number_; }
  size_t views() const { return size_t{2} * layout_.layers; }
  // Whether an object of this many bytes can lie in it; of several that can, the smallest is meant.
  bool takes(size_t bytes) const;
  size_t most_bytes() const;

 private:
  friend class Placing;
  speckv_layout layout_;
  uint32_t number_;
  Fill fill_;
  size_t value_, piece_;  // bytes of one value; of K or V of one layer
};

// A few objects of one shape, as the scatter lists of one call. Its memory is what the call reads
// or writes beside the objects' own.
class Placing {
 public:
  // Its scratch is zeros: what fills a block up is no memory of somebody else's.
  Placing(const Shape& shape, size_t count);

  // The scatter list of object i. Valid as long as this is.
  speckv_buf place(size_t i, uint8_t* data, size_t bytes);
  // Before a put: what of the object goes by scratch, and its length.
  void fill(size_t i, const uint8_t* data, size_t bytes);
  // After a get that hit. Returns: false if the block holds an object of another length.
  bool finish(size_t i, uint8_t* data, size_t bytes) const;

 private:
  // Where the piece that the object ends in lies: the last one, or one of its own before it.
  size_t part_offset(size_t i, size_t bytes) const;
  size_t tail_offset(size_t i) const { return (i * 2 + 2) * shape_.piece_ - 16; }

  const Shape& shape_;
  std::vector<speckv_view> views_;
  std::vector<uint8_t> scratch_;  // per object two pieces, then one that nobody reads
};

}  // namespace speckv::python
