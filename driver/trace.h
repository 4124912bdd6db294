/* SPDX-License-Identifier: GPL-2.0 */
/* trace.h - tracepoints of speckv: /sys/kernel/tracing/events/speckv. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM speckv

#if !defined(SPECKV_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define SPECKV_TRACE_H

#include <linux/tracepoint.h>

/* clang-format off */

/* An extent was given to a file, or nobody holds it any more. */
DECLARE_EVENT_CLASS(speckv_extent,
	TP_PROTO(int region, u64 handle, u32 first, u32 count),
	TP_ARGS(region, handle, first, count),
	TP_STRUCT__entry(
		__field(int, region)
		__field(u64, handle)
		__field(u32, first)
		__field(u32, count)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->handle = handle;
		__entry->first = first;
		__entry->count = count;
	),
	TP_printk("speckv%d handle=%#llx granule=%u count=%u", __entry->region, __entry->handle,
		  __entry->first, __entry->count)
);

DEFINE_EVENT(speckv_extent, speckv_alloc,
	TP_PROTO(int region, u64 handle, u32 first, u32 count),
	TP_ARGS(region, handle, first, count)
);

DEFINE_EVENT(speckv_extent, speckv_retire,
	TP_PROTO(int region, u64 handle, u32 first, u32 count),
	TP_ARGS(region, handle, first, count)
);

TRACE_EVENT(speckv_export,
	TP_PROTO(int region, u32 flags, u32 count, int result),
	TP_ARGS(region, flags, count, result),
	TP_STRUCT__entry(
		__field(int, region)
		__field(u32, flags)
		__field(u32, count)
		__field(int, result)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->flags = flags;
		__entry->count = count;
		__entry->result = result;
	),
	TP_printk("speckv%d %s%s%s%s count=%u result=%d", __entry->region,
		  __entry->flags & SPECKV_EXPORT_NEW ? "new" : "",
		  __entry->flags & SPECKV_EXPORT_ADD ? "add" : "",
		  __entry->flags & SPECKV_EXPORT_DROP ? "drop" : "",
		  __entry->flags & SPECKV_EXPORT_WRITE ? " writable" : "",
		  __entry->count, __entry->result)
);

TRACE_EVENT(speckv_fault,
	TP_PROTO(int region, unsigned long pgoff, unsigned int order, unsigned int result),
	TP_ARGS(region, pgoff, order, result),
	TP_STRUCT__entry(
		__field(int, region)
		__field(unsigned long, pgoff)
		__field(unsigned int, order)
		__field(unsigned int, result)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->pgoff = pgoff;
		__entry->order = order;
		__entry->result = result;
	),
	TP_printk("speckv%d pgoff=%#lx order=%u result=%#x", __entry->region, __entry->pgoff,
		  __entry->order, __entry->result)
);

/* The cleaner zeroed a granule, or found it pinned. */
TRACE_EVENT(speckv_clean,
	TP_PROTO(int region, u32 granule, bool pinned),
	TP_ARGS(region, granule, pinned),
	TP_STRUCT__entry(
		__field(int, region)
		__field(u32, granule)
		__field(bool, pinned)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->granule = granule;
		__entry->pinned = pinned;
	),
	TP_printk("speckv%d granule=%u %s", __entry->region, __entry->granule,
		  __entry->pinned ? "pinned" : "zeroed")
);

TRACE_EVENT(speckv_poison,
	TP_PROTO(int region, u32 granule, u32 count),
	TP_ARGS(region, granule, count),
	TP_STRUCT__entry(
		__field(int, region)
		__field(u32, granule)
		__field(u32, count)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->granule = granule;
		__entry->count = count;
	),
	TP_printk("speckv%d granule=%u count=%u", __entry->region, __entry->granule,
		  __entry->count)
);

/* The region goes away, with this many extents in use. */
TRACE_EVENT(speckv_kill,
	TP_PROTO(int region, u64 extents),
	TP_ARGS(region, extents),
	TP_STRUCT__entry(
		__field(int, region)
		__field(u64, extents)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->extents = extents;
	),
	TP_printk("speckv%d extents=%llu", __entry->region, __entry->extents)
);

/* An engine was lent a window of an extent. */
TRACE_EVENT(speckv_lend,
	TP_PROTO(int engine, u32 slot, u64 handle, u32 window),
	TP_ARGS(engine, slot, handle, window),
	TP_STRUCT__entry(
		__field(int, engine)
		__field(u32, slot)
		__field(u64, handle)
		__field(u32, window)
	),
	TP_fast_assign(
		__entry->engine = engine;
		__entry->slot = slot;
		__entry->handle = handle;
		__entry->window = window;
	),
	TP_printk("engine %d slot=%u handle=%#llx window=%u", __entry->engine, __entry->slot,
		  __entry->handle, __entry->window)
);

/* No command gets it any more; so many still have it. */
TRACE_EVENT(speckv_unlend,
	TP_PROTO(int engine, u32 slot, u64 handle, u32 busy),
	TP_ARGS(engine, slot, handle, busy),
	TP_STRUCT__entry(
		__field(int, engine)
		__field(u32, slot)
		__field(u64, handle)
		__field(u32, busy)
	),
	TP_fast_assign(
		__entry->engine = engine;
		__entry->slot = slot;
		__entry->handle = handle;
		__entry->busy = busy;
	),
	TP_printk("engine %d slot=%u handle=%#llx busy=%u", __entry->engine, __entry->slot,
		  __entry->handle, __entry->busy)
);

TRACE_EVENT(speckv_command,
	TP_PROTO(int engine, u32 queue, u32 tag, const struct speckv_cmd *cmd),
	TP_ARGS(engine, queue, tag, cmd),
	TP_STRUCT__entry(
		__field(int, engine)
		__field(u32, queue)
		__field(u32, tag)
		__field(u32, opcode)
		__field(u32, bytes)
		__field(u64, source)
		__field(u64, source_offset)
		__field(u64, target)
		__field(u64, target_offset)
	),
	TP_fast_assign(
		__entry->engine = engine;
		__entry->queue = queue;
		__entry->tag = tag;
		__entry->opcode = cmd->opcode;
		__entry->bytes = cmd->bytes;
		__entry->source = cmd->source;
		__entry->source_offset = cmd->source_offset;
		__entry->target = cmd->target;
		__entry->target_offset = cmd->target_offset;
	),
	TP_printk("engine %d queue=%u tag=%u opcode=%u bytes=%u from=%#llx+%#llx to=%#llx+%#llx",
		  __entry->engine, __entry->queue, __entry->tag, __entry->opcode, __entry->bytes,
		  __entry->source, __entry->source_offset, __entry->target,
		  __entry->target_offset)
);

TRACE_EVENT(speckv_completion,
	TP_PROTO(int engine, u32 queue, u32 tag, u32 status, u32 bytes),
	TP_ARGS(engine, queue, tag, status, bytes),
	TP_STRUCT__entry(
		__field(int, engine)
		__field(u32, queue)
		__field(u32, tag)
		__field(u32, status)
		__field(u32, bytes)
	),
	TP_fast_assign(
		__entry->engine = engine;
		__entry->queue = queue;
		__entry->tag = tag;
		__entry->status = status;
		__entry->bytes = bytes;
	),
	TP_printk("engine %d queue=%u tag=%u status=%u bytes=%u", __entry->engine, __entry->queue,
		  __entry->tag, __entry->status, __entry->bytes)
);

/* From one enum speckv_engine_state to another. */
TRACE_EVENT(speckv_state,
	TP_PROTO(int engine, u32 before, u32 now),
	TP_ARGS(engine, before, now),
	TP_STRUCT__entry(
		__field(int, engine)
		__field(u32, before)
		__field(u32, now)
	),
	TP_fast_assign(
		__entry->engine = engine;
		__entry->before = before;
		__entry->now = now;
	),
	TP_printk("engine %d state %u -> %u", __entry->engine, __entry->before, __entry->now)
);

/* clang-format on */

#endif /* SPECKV_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
