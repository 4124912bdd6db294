// SPDX-License-Identifier: Apache-2.0
// segment_size - what a segment of a layout takes: units stored, beats raw; and whether this build
// can walk it at all.
//
// Latency 4 cycles from start_i to done_o; one at a time. Products of small numbers, each with its
// own register, none in a lane's path.
`include "speckv_check.svh"

module segment_size
  import speckv_pkg::*;
  import engine_pkg::*;
  import chanq_pkg::*;
(
    input logic clk_i,
    input logic rst_ni,
    input logic start_i,
    input layout_t layout_i,  // held from start_i to done_o
    input logic first_block_i,
    input logic [31:0] codecs_i,  // that may occur, one bit an id
    output logic done_o,
    output logic layout_ok_o,  // in use, heads and pages in range, no longer than a segment
    output logic supported_o,
    output logic chanq_o,  // some pages are chanq's: tables are needed
    output segment_units_t stored_units_o,
    output logic [31:0] raw_beats_o
);
  // A raw segment may have 2 MiB (SPECKV_SEGMENT_BYTES_MAX).
  localparam logic [31:0] RawBeatsMax = 32'd1 << 15;

  logic [4:1] step_q;
  logic [19:0] head_k_q, head_v_q;
  page_units_t page_k_q, page_v_q, first_q;
  logic [17:0] pages_all_q;
  logic [28:0] stored_q;
  logic [31:0] raw_q;
  logic ok_q, supported_q, chanq_q;

  // Pages of chanq in one segment have one codec, for they share widths; and a known pairing.
  logic [2:0] turns;
  logic [4:0] chanq_id;
  logic one_chanq, rope_ok;

  always_comb begin
    turns = {
      is_chanq(layout_i.codec_k),
      is_chanq(layout_i.codec_v),
      first_block_i && is_chanq(layout_i.codec_first)
    };
    chanq_id = layout_i.codec_first;
    if (turns[1]) chanq_id = layout_i.codec_v;
    if (turns[2]) chanq_id = layout_i.codec_k;
    one_chanq = (!turns[1] || layout_i.codec_v == chanq_id) &&
        (!turns[0] || layout_i.codec_first == chanq_id);
    rope_ok = rope_known(layout_i.rope) &&
        layout_i.rope.rotated <= {{1'b0, layout_i.blocks} + 3'd1, 6'd0};
  end

  always_ff @(posedge clk_i) begin
    step_q <= rst_ni ? {step_q[3:1], start_i} : '0;
    // 1: pages.
    page_k_q <= page_units(page_cfg_of(layout_i, layout_i.codec_k));
    page_v_q <= page_units(page_cfg_of(layout_i, layout_i.codec_v));
    first_q <= page_units(page_cfg_of(layout_i, layout_i.codec_first));
    supported_q <= codecs_i[layout_i.codec_k] && codecs_i[layout_i.codec_v] &&
        (!first_block_i || codecs_i[layout_i.codec_first]) &&
        (turns == '0 || (one_chanq && rope_ok));
    chanq_q <= turns != '0;
    ok_q <= layout_i.valid && layout_i.heads != '0 && layout_i.heads <= 9'd256 &&
        layout_i.pages != '0 && layout_i.pages <= 9'd256;
    pages_all_q <= layout_i.heads * layout_i.pages;
    // 2: heads.
    head_k_q <= 20'(page_k_q) * 20'(layout_i.pages) +
        (first_block_i ? 20'(first_q) - 20'(page_k_q) : 20'd0);
    head_v_q <= 20'(page_v_q) * 20'(layout_i.pages) +
        (first_block_i ? 20'(first_q) - 20'(page_v_q) : 20'd0);
    raw_q <= 32'(pages_all_q) * 32'(page_beats(page_cfg_of(layout_i, 5'd0))) * 2;
    // 3: all of them.
    stored_q <= (29'(head_k_q) + 29'(head_v_q)) * 29'(layout_i.heads);
  end

  assign done_o = step_q[4];
  assign layout_ok_o = ok_q && raw_q <= RawBeatsMax;
  assign supported_o = supported_q;
  assign chanq_o = chanq_q;
  assign stored_units_o = SegmentUnitBits'(stored_q);
  assign raw_beats_o = raw_q;

  logic unused_layout;
  assign unused_layout = ^{layout_i.rope.theta, layout_i.shared_widths};
  logic unused_stored;
  assign unused_stored = ^stored_q[28:SegmentUnitBits];
endmodule
