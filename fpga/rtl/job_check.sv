// SPDX-License-Identifier: Apache-2.0
// job_check - the checks of one descriptor, all of them before a byte moves: opcode, reserved bits,
// layout, length, tables, both extents; and the plan of what moves.
//
// start_i (a pulse) with job_i, which stands until done_o (a pulse); about 20 cycles, and one a
// head where widths are looked up. status_o stands with done_o; plan_o, which counts where the
// status is StatusOk, until the next start_i.
`include "speckv_check.svh"

module job_check
  import speckv_pkg::*;
  import engine_pkg::*;
(
    input  logic                       clk_i,
    input  logic                       rst_ni,
    input  extent_t      [Extents-1:0] extents_i,
    input  layout_t      [Layouts-1:0] layouts_i,
    input  table_state_t               tables_i,
    input  logic                       start_i,
    input  job_t                       job_i,
    output logic                       done_o,
    output status_e                    status_o,
    output plan_t                      plan_o
);
  localparam int unsigned LayoutBits = $clog2(Layouts);
  // Without a layout: no more than a raw segment has.
  localparam logic [31:0] BytesMax = 32'd1 << 21;

  typedef enum logic [2:0] {
    StIdle,
    StLook,
    StSize,
    StLength,
    StTables,
    StSource,
    StTarget,
    StDone
  } state_e;

  state_e state_q;
  descriptor_t descriptor;
  status_e status_q;
  plan_t plan_q;
  logic asked_q;  // the check of this state is under way
  logic encode, codec, load, fill, reads, writes, known;

  assign descriptor = job_i.descriptor;
  assign encode = descriptor.opcode == OpEncode;
  assign codec = encode || descriptor.opcode == OpDecode;
  assign load = descriptor.opcode == OpLoad;
  assign fill = descriptor.opcode == OpFill;
  assign writes = codec || fill || descriptor.opcode == OpCopy;
  assign reads = (writes && !fill) || load || descriptor.opcode == OpChecksum;
  assign known = descriptor.opcode < 8'd32 && OpcodeMask[descriptor.opcode[4:0]];

  // ---- reserved bits; and fields that the opcode does not use ----
  logic reserved_set, unused_set;

  assign reserved_set = {descriptor.reserved_40, descriptor.reserved_36, descriptor.reserved_3,
                         descriptor.reserved_flags} != '0;
  always_comb begin
    unused_set = 1'b0;
    if (!codec) unused_set |= {descriptor.layout, descriptor.first_block, descriptor.widths} != '0;
    if (!reads) unused_set |= descriptor.source_extent != '0;
    if (!reads && !fill) unused_set |= descriptor.source_offset != '0;
    if (!writes) unused_set |= descriptor.target_extent != '0;
    if (!writes && !load) unused_set |= descriptor.target_offset != '0;
    if (!reads && !writes) unused_set |= descriptor.bytes != '0;
  end

  // ---- sizes ----
  logic size_done, layout_ok, supported, chanq, length_ok;
  segment_units_t stored_units, plain_units;
  logic [31:0] raw_beats, stored_beats, source_beats, target_beats;

  segment_size u_size (
      .clk_i,
      .rst_ni,
      .start_i(state_q == StSize && !asked_q),
      .layout_i(plan_q.layout),
      .first_block_i(descriptor.first_block),
      .codecs_i(encode ? EncodeMask : DecodeMask),
      .done_o(size_done),
      .layout_ok_o(layout_ok),
      .supported_o(supported),
      .chanq_o(chanq),
      .stored_units_o(stored_units),
      .raw_beats_o(raw_beats)
  );
  assign plain_units = SegmentUnitBits'(descriptor.bytes >> 5);
  assign stored_beats = (32'(stored_units) + 32'd1) >> 1;
  assign length_ok = codec ? descriptor.bytes == {32'(stored_units) << 5} :
      descriptor.bytes != '0 && descriptor.bytes[4:0] == '0 && descriptor.bytes <= BytesMax;
  always_comb begin
    source_beats = (32'(plain_units) + 32'd1) >> 1;
    target_beats = source_beats;
    if (codec) begin
      source_beats = encode ? raw_beats : stored_beats;
      target_beats = encode ? stored_beats : raw_beats;
    end
  end

  // ---- tables: one theta or whole slots are loaded; what a job asks for is there ----
  logic load_ok, slot_ok, slots_end;
  logic [31:0] load_end;
  logic [16:0] slot;
  logic [ 8:0] head_q;

  assign load_end = 32'(descriptor.target_offset[16:0]) + descriptor.bytes;
  always_comb begin
    load_ok = descriptor.target_offset[63:17] == '0;
    if (!descriptor.target_offset[16])
      load_ok &= descriptor.target_offset[14:0] == '0 && descriptor.bytes == 32'(TurnBeats * 64);
    else
      load_ok &= {descriptor.target_offset[6:0], descriptor.bytes[6:0]} == '0 &&
          load_end <= 32'(TableBeats * 64) + `MUT(
          114, 32'd0, 32'd128);
  end
  assign slot = 17'(descriptor.widths) + 17'(head_q);
  assign slot_ok = (slot < 17'(WidthSlots) ||
      `MUT(113, 1'b0, 1'b1)
      ) && tables_i.widths[slot[$clog2(
          WidthSlots
      )-1:0]] && (plan_q.layout.rope.rotated == '0 || tables_i.turns[plan_q.layout.rope.theta]);
  assign slots_end = plan_q.layout.shared_widths || head_q + 9'd1 == plan_q.layout.heads;

  // ---- extents ----
  logic extent_done, extent_ok, extent_device, target;
  beat_addr_t extent_addr;

  assign target = state_q == StTarget;
  extent_check u_extent (
      .clk_i,
      .rst_ni,
      .extents_i,
      .valid_i((state_q == StSource || state_q == StTarget) && !asked_q),
      .extent_i(target ? descriptor.target_extent : descriptor.source_extent),
      .offset_i(target ? descriptor.target_offset : descriptor.source_offset),
      .beats_i(target ? target_beats : source_beats),
      .write_i(target),
      .queue_i(job_i.queue_id),
      .valid_o(extent_done),
      .ok_o(extent_ok),
      .device_o(extent_device),
      .addr_o(extent_addr)
  );

  // ---- one check after the other ----
  always_ff @(posedge clk_i) begin
    asked_q <= 1'b1;
    unique case (state_q)
      StIdle: begin
        status_q <= StatusOk;
        if (start_i) state_q <= StLook;
      end
      StLook: begin
        state_q <= StDone;
        asked_q <= 1'b0;
        plan_q.reads <= reads;
        plan_q.writes <= writes;
        plan_q.layout <= layouts_i[descriptor.layout[LayoutBits-1:0]];
        if (job_i.failed) status_q <= StatusReadError;
        else if (reserved_set && `MUT(50, 1'b1, 1'b0)) status_q <= StatusReserved;
        else if (!known) status_q <= StatusBadOpcode;
        else if (unused_set) status_q <= StatusReserved;
        else if (codec && descriptor.layout >= 8'(Layouts)) status_q <= StatusBadLayout;
        else if (codec) state_q <= StSize;
        else if (reads || writes) state_q <= StLength;
      end
      StSize: if (size_done) state_q <= StLength;
      StLength: begin
        asked_q <= 1'b0;
        head_q <= '0;
        plan_q.stored_units <= codec ? stored_units : plain_units;
        plan_q.raw_beats <= raw_beats;
        state_q <= StDone;
        if (codec && !layout_ok) status_q <= StatusBadLayout;
        else if (codec && !supported) status_q <= StatusUnsupported;
        else if (!length_ok && `MUT(51, 1'b1, 1'b0)) status_q <= StatusBadLength;
        else if (load && !load_ok) status_q <= StatusTarget;
        else if (codec && chanq) state_q <= StTables;
        else state_q <= reads ? StSource : StTarget;
      end
      StTables: begin
        asked_q <= 1'b0;
        head_q <= head_q + 9'd1;
        if (!slot_ok) begin
          state_q <= StDone;
          status_q <= StatusTable;
        end else if (slots_end) state_q <= StSource;
      end
      StSource: begin
        plan_q.source <= '{
            device: extent_device,
            addr: extent_addr,
            size: encode ? SegmentUnitBits'(raw_beats << 1) : plan_q.stored_units
        };
        if (extent_done) begin
          asked_q <= 1'b0;
          state_q <= extent_ok && writes ? StTarget : StDone;
          if (!extent_ok) status_q <= StatusSource;
        end
      end
      StTarget: begin
        plan_q.target <= '{
            device: extent_device,
            addr: extent_addr,
            size: codec && !encode ? SegmentUnitBits'(raw_beats << 1) : plan_q.stored_units
        };
        if (extent_done) begin
          state_q <= StDone;
          if (!extent_ok) status_q <= StatusTarget;
        end
      end
      default: state_q <= StIdle;
    endcase
    if (!rst_ni) state_q <= StIdle;
  end
  assign done_o = state_q == StDone;
  assign status_o = status_q;
  assign plan_o = plan_q;

  logic unused_job;
  assign unused_job = ^{job_i.sq_head, descriptor.cookie};

  `SPECKV_ASSERT(JobCheckOneAtATime, !start_i || state_q == StIdle)
endmodule
