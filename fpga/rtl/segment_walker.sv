// SPDX-License-Identifier: Apache-2.0
// segment_walker - names the pages of a segment in stored order: K then V, head by head, page by
// page, first pages by their own codec.
//
// start_i takes a layout; from the next cycle on valid_o holds one page until next_i. A page a
// cycle. Requires: heads and pages of the layout are not 0.
`include "speckv_check.svh"

module segment_walker
  import speckv_pkg::*;
  import engine_pkg::*;
(
    input  logic               clk_i,
    input  logic               rst_ni,
    input  logic               start_i,
    input  layout_t            layout_i,
    input  logic               first_block_i,
    output logic               valid_o,
    output page_cfg_t          page_cfg_o,
    output page_units_t        page_units_o,
    output logic        [15:0] page_index_o,
    output logic        [ 7:0] head_o,
    output logic               last_o,
    input  logic               next_i
);
  layout_t layout_q;
  logic first_block_q, valid_q, value_q;  // value_q: V
  logic [8:0] head_q, page_q;
  logic [15:0] index_q;
  logic page_end, head_end;

  assign page_end = page_q + 9'd1 == layout_q.pages;
  assign head_end = head_q + 9'd1 == layout_q.heads;

  always_comb begin
    page_cfg_o.codec = value_q ? layout_q.codec_v : layout_q.codec_k;
    if (first_block_q && `MUT(33, page_q == 9'd0, index_q == '0))
      page_cfg_o.codec = layout_q.codec_first;
    page_cfg_o.bf16 = layout_q.bf16;
    page_cfg_o.tokens = layout_q.tokens;
    page_cfg_o.blocks = layout_q.blocks;
  end
  assign page_units_o = page_units(page_cfg_o);
  assign page_index_o = index_q;
  assign head_o = head_q[7:0];
  assign valid_o = valid_q;
  assign last_o = value_q && head_end && page_end;

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      layout_q <= layout_i;
      first_block_q <= first_block_i;
      valid_q <= 1'b1;
      value_q <= 1'b0;
      head_q <= '0;
      page_q <= '0;
      index_q <= '0;
    end else if (valid_q && next_i) begin
      index_q <= index_q + 16'd1;
      page_q <= page_end ? 9'd0 : page_q + 9'd1;
      if (page_end) begin
        head_q <= head_end ? 9'd0 : head_q + 9'd1;
        if (head_end) value_q <= 1'b1;
        if (last_o) valid_q <= 1'b0;
      end
    end
    if (!rst_ni) valid_q <= 1'b0;
  end

  logic unused_layout;
  assign unused_layout = ^{layout_q.valid, layout_q.rope, layout_q.shared_widths};

  `SPECKV_ASSERT(WalkerStaysInside,
                 !valid_q || (page_q < layout_q.pages && head_q < layout_q.heads))

`ifdef SPECKV_FORMAL
  `SPECKV_PAST
  `SPECKV_ASSUME(WalkerLayout, !start_i || (layout_i.heads != '0 && layout_i.pages != '0))
  // Pages of a head follow each other, heads too, K before V; the last one ends it.
  `SPECKV_ASSERT(WalkerPageStep, !(past_valid && $past(valid_q && next_i && !start_i && !page_end)
                 ) || (valid_q && page_q == $past(page_q) + 9'd1 && head_q == $past(head_q)))
  logic first_page;
  assign first_page = valid_q && first_block_q && page_q == '0;
  `SPECKV_ASSERT(WalkerFirstPages, !first_page || page_cfg_o.codec == layout_q.codec_first)
  `SPECKV_ASSERT(WalkerEnds, !(past_valid && $past(valid_q && next_i && !start_i)
                 ) || valid_q == !$past(last_o))
  `SPECKV_COVER(WalkerLast, valid_q && last_o && index_q == 16'd7)
`endif
endmodule
