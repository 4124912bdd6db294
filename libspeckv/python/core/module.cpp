// SPDX-License-Identifier: Apache-2.0
// module.cpp - speckv._core: the C ABI as a Python module. speckv/ (Python) makes it pleasant.
//
// OFFSETS tells where the C compiler put each field and VALUES what its enumerators are, so that a
// test can hold speckv/abi.py to them.
#include <cstddef>

#include "bind.hpp"
#include "session.hpp"
#include "speckv/speckv.h"

namespace nb = nanobind;

namespace {

nb::dict offsets() {
  nb::dict all;
#define SIZE(type) all[#type] = sizeof(struct type)
#define AT(type, field) all[#type "." #field] = offsetof(struct type, field)
  SIZE(speckv_layout);
  AT(speckv_layout, rank);
  AT(speckv_layout, world);
  AT(speckv_layout, preset);
  AT(speckv_layout, weights_digest);
  AT(speckv_layout, variant_digest);
  AT(speckv_layout, rope_theta);
  AT(speckv_layout, first_layer);
  SIZE(speckv_view);
  AT(speckv_view, token_stride);
  AT(speckv_view, head_stride);
  AT(speckv_view, channel_stride);
  SIZE(speckv_meta);
  AT(speckv_meta, position);
  AT(speckv_meta, kind);
  SIZE(speckv_get_op);
  AT(speckv_get_op, ret_result);
  AT(speckv_get_op, flags);
  SIZE(speckv_put_op);
  AT(speckv_put_op, meta);
  AT(speckv_put_op, user_data);
  AT(speckv_put_op, ret_result);
  AT(speckv_put_op, flags);
  SIZE(speckv_completion);
  AT(speckv_completion, result);
  SIZE(speckv_change);
  AT(speckv_change, kind);
  SIZE(speckv_cursor);
  AT(speckv_cursor, lost);
  AT(speckv_cursor, next);
  SIZE(speckv_outcome);
  AT(speckv_outcome, error);
  SIZE(speckv_stats);
  AT(speckv_stats, pool_page_bytes);
#undef SIZE
#undef AT
  return all;
}

nb::dict values() {
  nb::dict all;
#define VALUE(name) all[#name] = unsigned(SPECKV_##name)
  VALUE(KIND_UNKNOWN);
  VALUE(KIND_SYSTEM);
  VALUE(KIND_TOOL);
  VALUE(KIND_CONVERSATION);
  VALUE(KIND_SCRATCH);
  VALUE(OUTCOME_ASKED);
  VALUE(OUTCOME_ON_ITS_WAY);
  VALUE(OUTCOME_READY);
  VALUE(OUTCOME_CLIPPED);
  VALUE(OUTCOME_REJECTED);
  VALUE(OUTCOME_MISSING);
#undef VALUE
  return all;
}

}  // namespace

NB_MODULE(_core, module) {
  module.attr("OFFSETS") = offsets();
  module.attr("VALUES") = values();
  module.attr("NO_DEADLINE") = SPECKV_NO_DEADLINE;
  module.attr("NO_BUDGET") = SPECKV_NO_BUDGET;
  module.attr("BATCH_MAX") = SPECKV_BATCH_MAX;
  module.attr("POSITION_UNKNOWN") = SPECKV_POSITION_UNKNOWN;
  speckv::python::bind_keys(module);
  speckv::python::bind_session(module);
  speckv::python::bind_put(module);
  speckv::python::bind_objects(module);
}
