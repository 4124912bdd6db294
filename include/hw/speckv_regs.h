/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * speckv_regs.h - register map of the codec engine, made from fpga/rtl/speckv_regs.rdl
 * by fpga/doc/registers. For driver, device process and benches; holds no code.
 *
 * Registers have 32 bits. NAME is an offset in bytes; of an array it is element 0's, and
 * NAME_STRIDE and NAME_COUNT say where the others lie. A field has its MASK and SHIFT.
 */
#ifndef SPECKV_REGS_H
#define SPECKV_REGS_H

#include <stdint.h>

/* Says that this is the engine: the letters SPKV. */
#define SPECKV_REG_MAGIC 0x0u
#define SPECKV_REG_MAGIC_VALUE_VALUE 0x564b5053u

/* Of this register map and of descriptors. A driver takes its own major version only. */
#define SPECKV_REG_VERSION 0x4u
#define SPECKV_REG_VERSION_MINOR_SHIFT 0u
#define SPECKV_REG_VERSION_MINOR_MASK 0xffffu
#define SPECKV_REG_VERSION_MAJOR_SHIFT 16u
#define SPECKV_REG_VERSION_MAJOR_MASK 0xffff0000u
#define SPECKV_REG_VERSION_MAJOR_VALUE 0x1u

/* One bit a codec id of docs/codec.md: what DECODE takes. */
#define SPECKV_REG_DECODERS 0x8u

/* One bit a codec id of docs/codec.md: what ENCODE takes. */
#define SPECKV_REG_ENCODERS 0xcu

/* Pages that the hardware takes; the others are the CPU's. */
#define SPECKV_REG_SHAPES 0x10u
#define SPECKV_REG_SHAPES_TOKENS_SHIFT 0u
#define SPECKV_REG_SHAPES_TOKENS_MASK 0x7u
#define SPECKV_REG_SHAPES_HEAD_DIMS_SHIFT 4u
#define SPECKV_REG_SHAPES_HEAD_DIMS_MASK 0xf0u
#define SPECKV_REG_SHAPES_DTYPES_SHIFT 8u
#define SPECKV_REG_SHAPES_DTYPES_MASK 0x300u
#define SPECKV_REG_SHAPES_COHERENT_SHIFT 16u
#define SPECKV_REG_SHAPES_COHERENT_MASK 0x10000u

/* How many there are of each. */
#define SPECKV_REG_RESOURCES 0x14u
#define SPECKV_REG_RESOURCES_LANES_SHIFT 0u
#define SPECKV_REG_RESOURCES_LANES_MASK 0xffu
#define SPECKV_REG_RESOURCES_QUEUES_SHIFT 8u
#define SPECKV_REG_RESOURCES_QUEUES_MASK 0xff00u
#define SPECKV_REG_RESOURCES_EXTENTS_SHIFT 16u
#define SPECKV_REG_RESOURCES_EXTENTS_MASK 0xff0000u
#define SPECKV_REG_RESOURCES_LAYOUTS_SHIFT 24u
#define SPECKV_REG_RESOURCES_LAYOUTS_MASK 0xff000000u

/* One bit an opcode of include/hw/speckv_engine.h: what a descriptor may ask for. */
#define SPECKV_REG_OPERATIONS 0x18u

/* What table memory has (include/hw/speckv_engine.h). */
#define SPECKV_REG_TABLES 0x1cu
#define SPECKV_REG_TABLES_THETAS_SHIFT 0u
#define SPECKV_REG_TABLES_THETAS_MASK 0xffu
#define SPECKV_REG_TABLES_WIDTHS_SHIFT 16u
#define SPECKV_REG_TABLES_WIDTHS_MASK 0xffff0000u

/* Of the whole engine. */
#define SPECKV_REG_CONTROL 0x20u
#define SPECKV_REG_CONTROL_ENABLE_SHIFT 0u
#define SPECKV_REG_CONTROL_ENABLE_MASK 0x1u
#define SPECKV_REG_CONTROL_RESET_SHIFT 1u
#define SPECKV_REG_CONTROL_RESET_MASK 0x2u
#define SPECKV_REG_CONTROL_FLIP_SHIFT 2u
#define SPECKV_REG_CONTROL_FLIP_MASK 0x4u
#define SPECKV_REG_CONTROL_CLEAR_LOG_SHIFT 3u
#define SPECKV_REG_CONTROL_CLEAR_LOG_MASK 0x8u

/* Of the whole engine. */
#define SPECKV_REG_STATUS 0x24u
#define SPECKV_REG_STATUS_IDLE_SHIFT 0u
#define SPECKV_REG_STATUS_IDLE_MASK 0x1u
#define SPECKV_REG_STATUS_RESETTING_SHIFT 1u
#define SPECKV_REG_STATUS_RESETTING_MASK 0x2u

/* A queue's interrupt is asked for when either is reached. */
#define SPECKV_REG_MODERATION 0x28u
#define SPECKV_REG_MODERATION_COMPLETIONS_SHIFT 0u
#define SPECKV_REG_MODERATION_COMPLETIONS_MASK 0xffu
#define SPECKV_REG_MODERATION_CYCLES_SHIFT 8u
#define SPECKV_REG_MODERATION_CYCLES_MASK 0xffffff00u

/* The first error since the log was cleared, and how many there were. */
#define SPECKV_REG_ERROR 0x30u
#define SPECKV_REG_ERROR_STATUS_SHIFT 0u
#define SPECKV_REG_ERROR_STATUS_MASK 0xffu
#define SPECKV_REG_ERROR_QUEUE_SHIFT 8u
#define SPECKV_REG_ERROR_QUEUE_MASK 0xf00u
#define SPECKV_REG_ERROR_COUNT_SHIFT 16u
#define SPECKV_REG_ERROR_COUNT_MASK 0xffff0000u

/* Low half of the cookie of the descriptor that ERROR tells of. */
#define SPECKV_REG_ERROR_COOKIE 0x34u

#define SPECKV_REG_COUNTERS_STRIDE 0x8u
#define SPECKV_REG_COUNTERS_COUNT 6u
/*
 * Low half. 0: descriptors fetched, 1: completions written, 2: of them errors, 3: beats
 * read, 4: beats written, 5: cycles in which a lane was busy.
 */
#define SPECKV_REG_COUNTERS_LOW 0x40u

/* High half. */
#define SPECKV_REG_COUNTERS_HIGH 0x44u

#define SPECKV_REG_QUEUES_STRIDE 0x40u
#define SPECKV_REG_QUEUES_COUNT 2u
/* Where it lies: an extent and an offset in it, a multiple of 64. */
#define SPECKV_REG_QUEUES_SQ_OFFSET 0x100u

/* Where it lies, a multiple of 64. */
#define SPECKV_REG_QUEUES_CQ_OFFSET 0x104u

/* Written last; a doorbell before `enable` counts for nothing. */
#define SPECKV_REG_QUEUES_SETUP 0x108u
#define SPECKV_REG_QUEUES_SETUP_SQ_EXTENT_SHIFT 0u
#define SPECKV_REG_QUEUES_SETUP_SQ_EXTENT_MASK 0xffu
#define SPECKV_REG_QUEUES_SETUP_CQ_EXTENT_SHIFT 8u
#define SPECKV_REG_QUEUES_SETUP_CQ_EXTENT_MASK 0xff00u
#define SPECKV_REG_QUEUES_SETUP_LOG2_SLOTS_SHIFT 16u
#define SPECKV_REG_QUEUES_SETUP_LOG2_SLOTS_MASK 0xf0000u
#define SPECKV_REG_QUEUES_SETUP_VECTOR_SHIFT 20u
#define SPECKV_REG_QUEUES_SETUP_VECTOR_MASK 0xff00000u
#define SPECKV_REG_QUEUES_SETUP_ENABLE_SHIFT 31u
#define SPECKV_REG_QUEUES_SETUP_ENABLE_MASK 0x80000000u

/*
 * Descriptors written so far, modulo 2^16. More than a ring's slots ahead of SQ_HEAD,
 * or behind the value before, is an error and counts for nothing.
 */
#define SPECKV_REG_QUEUES_SQ_TAIL 0x10cu
#define SPECKV_REG_QUEUES_SQ_TAIL_TAIL_SHIFT 0u
#define SPECKV_REG_QUEUES_SQ_TAIL_TAIL_MASK 0xffffu

/* Completions read so far, modulo 2^16; only software changes it. */
#define SPECKV_REG_QUEUES_CQ_HEAD 0x110u
#define SPECKV_REG_QUEUES_CQ_HEAD_HEAD_SHIFT 0u
#define SPECKV_REG_QUEUES_CQ_HEAD_HEAD_MASK 0xffffu

/* Descriptors fetched so far, modulo 2^16. */
#define SPECKV_REG_QUEUES_SQ_HEAD 0x114u
#define SPECKV_REG_QUEUES_SQ_HEAD_HEAD_SHIFT 0u
#define SPECKV_REG_QUEUES_SQ_HEAD_HEAD_MASK 0xffffu

/* Completions written so far, modulo 2^16. */
#define SPECKV_REG_QUEUES_CQ_TAIL 0x118u
#define SPECKV_REG_QUEUES_CQ_TAIL_TAIL_SHIFT 0u
#define SPECKV_REG_QUEUES_CQ_TAIL_TAIL_MASK 0xffffu

#define SPECKV_REG_EXTENTS_STRIDE 0x10u
#define SPECKV_REG_EXTENTS_COUNT 16u
/* Bus address, low half; bits 5:0 count as 0. */
#define SPECKV_REG_EXTENTS_BASE_LOW 0x200u

/* Bus address, high half. */
#define SPECKV_REG_EXTENTS_BASE_HIGH 0x204u

/* Units of 64 bytes. */
#define SPECKV_REG_EXTENTS_SIZE 0x208u

/* What it may be used for. */
#define SPECKV_REG_EXTENTS_FLAGS 0x20cu
#define SPECKV_REG_EXTENTS_FLAGS_VALID_SHIFT 0u
#define SPECKV_REG_EXTENTS_FLAGS_VALID_MASK 0x1u
#define SPECKV_REG_EXTENTS_FLAGS_DEVICE_SHIFT 1u
#define SPECKV_REG_EXTENTS_FLAGS_DEVICE_MASK 0x2u
#define SPECKV_REG_EXTENTS_FLAGS_WRITABLE_SHIFT 2u
#define SPECKV_REG_EXTENTS_FLAGS_WRITABLE_MASK 0x4u
#define SPECKV_REG_EXTENTS_FLAGS_QUEUES_SHIFT 8u
#define SPECKV_REG_EXTENTS_FLAGS_QUEUES_MASK 0xf00u

#define SPECKV_REG_LAYOUTS_STRIDE 0x10u
#define SPECKV_REG_LAYOUTS_COUNT 8u
/* Pages of a segment. */
#define SPECKV_REG_LAYOUTS_SHAPE 0x400u
#define SPECKV_REG_LAYOUTS_SHAPE_TOKENS_SHIFT 0u
#define SPECKV_REG_LAYOUTS_SHAPE_TOKENS_MASK 0x3u
#define SPECKV_REG_LAYOUTS_SHAPE_BLOCKS_SHIFT 2u
#define SPECKV_REG_LAYOUTS_SHAPE_BLOCKS_MASK 0xcu
#define SPECKV_REG_LAYOUTS_SHAPE_BF16_SHIFT 4u
#define SPECKV_REG_LAYOUTS_SHAPE_BF16_MASK 0x10u
#define SPECKV_REG_LAYOUTS_SHAPE_HEADS_SHIFT 5u
#define SPECKV_REG_LAYOUTS_SHAPE_HEADS_MASK 0x3fe0u
#define SPECKV_REG_LAYOUTS_SHAPE_PAGES_SHIFT 14u
#define SPECKV_REG_LAYOUTS_SHAPE_PAGES_MASK 0x7fc000u
#define SPECKV_REG_LAYOUTS_SHAPE_VALID_SHIFT 31u
#define SPECKV_REG_LAYOUTS_SHAPE_VALID_MASK 0x80000000u

/* Codec ids. */
#define SPECKV_REG_LAYOUTS_CODECS 0x404u
#define SPECKV_REG_LAYOUTS_CODECS_K_SHIFT 0u
#define SPECKV_REG_LAYOUTS_CODECS_K_MASK 0x1fu
#define SPECKV_REG_LAYOUTS_CODECS_V_SHIFT 8u
#define SPECKV_REG_LAYOUTS_CODECS_V_MASK 0x1f00u
#define SPECKV_REG_LAYOUTS_CODECS_FIRST_SHIFT 16u
#define SPECKV_REG_LAYOUTS_CODECS_FIRST_MASK 0x1f0000u

/* How RoPE turned the heads, for chanq. */
#define SPECKV_REG_LAYOUTS_ROPE 0x408u
#define SPECKV_REG_LAYOUTS_ROPE_ROTATED_SHIFT 0u
#define SPECKV_REG_LAYOUTS_ROPE_ROTATED_MASK 0x1ffu
#define SPECKV_REG_LAYOUTS_ROPE_HALF_SPLIT_SHIFT 9u
#define SPECKV_REG_LAYOUTS_ROPE_HALF_SPLIT_MASK 0x200u
#define SPECKV_REG_LAYOUTS_ROPE_THETA_SHIFT 10u
#define SPECKV_REG_LAYOUTS_ROPE_THETA_MASK 0x400u
#define SPECKV_REG_LAYOUTS_ROPE_SHARED_WIDTHS_SHIFT 11u
#define SPECKV_REG_LAYOUTS_ROPE_SHARED_WIDTHS_MASK 0x800u

#endif /* SPECKV_REGS_H */
