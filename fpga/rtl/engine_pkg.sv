// SPDX-License-Identifier: Apache-2.0
// engine_pkg - what lies between the registers, the rings and the buses: tables, descriptors,
// completions, commands of the bus masters. include/hw/speckv_engine.h has the same for software.
package engine_pkg;
  import speckv_pkg::*;
  import chanq_pkg::*;

  parameter int unsigned Queues = 2;
  parameter int unsigned Extents = 16;
  parameter int unsigned Layouts = 8;
  parameter int unsigned BeatAddrBits = 58;  // a bus address in beats
  parameter int unsigned SegmentUnitBits = 18;  // units of a segment: 2^17 is 4 MiB
  parameter int unsigned BurstBeats = 16;

  typedef logic [BeatAddrBits-1:0] beat_addr_t;
  typedef logic [SegmentUnitBits-1:0] segment_units_t;

  typedef enum logic [7:0] {
    OpNop      = 8'd0,
    OpEncode   = 8'd1,
    OpDecode   = 8'd2,
    OpChecksum = 8'd3,
    OpCopy     = 8'd4,
    OpFill     = 8'd5,
    OpCancel   = 8'd6,  // never a lane's
    OpLoad     = 8'd7
  } opcode_e;
  parameter logic [31:0] OpcodeMask = 32'h0000_00ff;

  typedef enum logic [7:0] {
    StatusOk          = 8'd0,
    StatusBadOpcode   = 8'd1,
    StatusReserved    = 8'd2,   // a reserved bit is set
    StatusBadLayout   = 8'd3,   // no such slot, or it is not in use, or not a layout
    StatusUnsupported = 8'd4,   // a codec or shape of the layout that this build does not take
    StatusBadLength   = 8'd5,   // not the segment's
    StatusSource      = 8'd6,   // outside of its extent, misaligned, or not to be read
    StatusTarget      = 8'd7,   // the same of what is written
    StatusReadError   = 8'd8,   // the bus answered with an error
    StatusWriteError  = 8'd9,
    StatusMemoryError = 8'd10,  // a word of a page ring had the wrong parity
    StatusRefused     = 8'd11,  // an encoder refused a page; the completion says which and why
    StatusRing        = 8'd12,  // a doorbell or a ring is out of range (error log only)
    StatusTable       = 8'd13,  // a table that the layout asks for is not loaded, or not whole
    StatusCancelled   = 8'd14,
    StatusNotFound    = 8'd15   // of CANCEL: no such job is under way
  } status_e;

  // One of the host's memory or the device's, as the driver set it up.
  typedef struct packed {
    logic        valid;
    logic        device;
    logic        writable;
    logic [3:0]  queues;
    logic [31:0] beats;
    beat_addr_t  base;
  } extent_t;

  typedef struct packed {
    logic       valid;
    logic       bf16;
    logic [1:0] tokens;
    logic [1:0] blocks;
    logic [8:0] heads;
    logic [8:0] pages;
    logic [4:0] codec_k;
    logic [4:0] codec_v;
    logic [4:0] codec_first;
    logic       shared_widths;  // all heads have those of the first
    rope_t      rope;
  } layout_t;

  typedef struct packed {
    logic        enable;
    logic [7:0]  vector;
    logic [3:0]  log2_slots;
    logic [7:0]  sq_extent;
    logic [7:0]  cq_extent;
    logic [31:0] sq_offset;
    logic [31:0] cq_offset;
    logic [15:0] sq_tail;
    logic        sq_rung;     // sq_tail was written
    logic [15:0] cq_head;
  } queue_cfg_t;

  // 64 bytes, the first field of the list is the last in memory.
  typedef struct packed {
    logic [191:0] reserved_40;
    logic [31:0]  reserved_36;
    logic [31:0]  bytes;
    logic [63:0]  target_offset;
    logic [63:0]  source_offset;
    logic [63:0]  cookie;
    logic [15:0]  widths;
    logic [7:0]   target_extent;
    logic [7:0]   source_extent;
    logic [7:0]   reserved_3;
    logic [7:0]   layout;
    logic [6:0]   reserved_flags;
    logic         first_block;
    logic [7:0]   opcode;
  } descriptor_t;

  typedef struct packed {
    logic [255:0] zero_32;
    logic [30:0]  zero_28;
    logic         phase;
    logic [15:0]  zero_26;
    logic [15:0]  sq_head;
    logic [31:0]  bytes;
    logic [15:0]  page;
    logic [7:0]   refusal;
    logic [7:0]   status;
    logic [63:0]  checksum;
    logic [63:0]  cookie;
  } completion_t;

  // A descriptor on its way, and what became of it.
  typedef struct packed {
    logic [1:0]  queue_id;
    logic        failed;      // it could not be read
    logic [15:0] sq_head;
    descriptor_t descriptor;
  } job_t;

  typedef struct packed {
    logic [1:0]  queue_id;
    logic [15:0] sq_head;
    logic [63:0] cookie;
    logic [63:0] checksum;
    status_e     status;
    logic [7:0]  refusal;
    logic [15:0] page;
    logic [31:0] bytes;
  } result_t;

  function automatic page_cfg_t page_cfg_of(input layout_t layout, input logic [4:0] codec);
    return '{codec: codec, bf16: layout.bf16, tokens: layout.tokens, blocks: layout.blocks};
  endfunction

  // What CANCEL asks all lanes: whether they have this job.
  typedef struct packed {
    logic        valid;
    logic [1:0]  queue_id;
    logic [63:0] cookie;
  } cancel_t;

  // What one bus master is told to move.
  typedef struct packed {
    logic           device;
    beat_addr_t     addr;
    segment_units_t size;    // units
  } move_t;

  // What became of a descriptor's checks: what moves from where to where.
  typedef struct packed {
    logic           reads;
    logic           writes;
    move_t          source;
    move_t          target;
    layout_t        layout;
    segment_units_t stored_units;
    logic [31:0]    raw_beats;
  } plan_t;

  // Table memory, in beats: turns of two thetas (token, sixteenth of the pairs), then widths, two
  // beats a slot. All lanes have the same.
  parameter int unsigned TurnBeats = 512;  // of a theta
  parameter int unsigned WidthSlots = 256;
  parameter int unsigned TableBeats = 2 * TurnBeats + 2 * WidthSlots;
  parameter int unsigned TableAddrBits = $clog2(TableBeats);
  typedef logic [TableAddrBits-1:0] table_addr_t;

  typedef struct packed {
    logic        valid;
    logic        error;  // a beat of this table, or one before it, was read with an error
    table_addr_t addr;
    beat_t       data;
  } table_write_t;

  // Which tables are whole.
  typedef struct packed {
    logic [1:0]            turns;
    logic [WidthSlots-1:0] widths;
  } table_state_t;

  // Channels of AXI4 that carry anything; bursts are INCR of 64-byte beats.
  typedef struct packed {
    beat_addr_t addr;
    logic [7:0] len;   // beats - 1
  } axi_addr_t;

  typedef struct packed {
    logic  error;
    beat_t data;
  } axi_read_t;

  typedef struct packed {
    logic                 last;
    logic [BeatBytes-1:0] strobe;
    beat_t                data;
  } axi_write_t;
endpackage
