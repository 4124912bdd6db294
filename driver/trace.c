// SPDX-License-Identifier: GPL-2.0
/* trace.c - the one place that instantiates the tracepoints of trace.h. */
#include <uapi/linux/speckv.h>

#define CREATE_TRACE_POINTS
#include "trace.h"
