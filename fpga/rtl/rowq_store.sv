// SPDX-License-Identifier: Apache-2.0
// rowq_store - codes of quarter rows to a page in the page ring, plane by plane: rowq_fetch the
// other way round.
//
// Beats of a page come in order, with any gaps, and never wait. Half a group (four rows, 16 beats)
// fills a word of each plane; it is set aside and written while the next half comes: 7 planes, and
// at the end of a group 2 words of plane 0 and one unit of side words, 10 writes at most.
// done_o: the last word was written; the page's refusal is beside it. Bases of pages wait in a
// queue of BasesMax words: page_valid_i, one for each page in order, before its first beat.
`include "speckv_check.svh"

module rowq_store
  import speckv_pkg::*;
  import rowq_pkg::*;
(
    input  logic                   clk_i,
    input  logic                   rst_ni,
    input  logic                   page_valid_i,
    output logic                   page_ready_o,
    input  page_cfg_t              page_cfg_i,
    input  ring_addr_t             page_base_i,
    input  logic                   valid_i,
    input  tag_t                   tag_i,
    input  logic       [31:0]      side_i,
    input  logic       [31:0][7:0] codes_i,
    input  logic                   far_i,
    input  logic                   not_finite_i,
    output logic                   write_o,
    output logic       [ 1:0]      write_mask_o,
    output ring_addr_t             write_addr_o,
    output beat_t                  write_data_o,
    output logic                   done_o,
    output refusal_e               refusal_o
);
  // ---- the page at hand ----
  page_cfg_t cfg;
  ring_addr_t base;
  logic base_valid;
  page_units_t beats;

  prim_fifo #(
      .Width($bits(page_cfg_t) + RingAddrBits),
      .Depth(4)
  ) u_bases (
      .clk_i,
      .rst_ni,
      .valid_i(page_valid_i),
      .ready_o(page_ready_o),
      .data_i({page_cfg_i, page_base_i}),
      .valid_o(base_valid),
      .ready_i(done_o),
      .data_o({cfg, base}),
      .count_o()
  );
  assign beats = page_beats(cfg);

  // ---- gathering: the newest bits come in at the top ----
  beat_t [7:1] plane_q, plane_d;
  logic [767:0] low_q, low_d;
  logic [UnitBits-1:0] sides_q, sides_d;
  logic [4:0] beat_q;  // of the group
  logic half_end, group_end;

  assign half_end = valid_i && beat_q[3:0] == 4'd15;
  assign group_end = valid_i && beat_q == 5'd31;
  always_comb begin
    for (int unsigned p = 1; p < 8; p++) begin
      plane_d[p] = plane_q[p] >> 32;
      for (int unsigned i = 0; i < 32; i++) plane_d[p][BeatBits-32+i] = codes_i[i][p];
    end
    low_d = low_q >> 24;
    for (int unsigned i = 0; i < 24; i++) low_d[744+i] = codes_i[i/3*4+i%3][0];
    sides_d = tag_i.quarter == 2'd3 ? {side_i, sides_q[UnitBits-1:32]} : sides_q;
  end
  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      plane_q <= plane_d;
      low_q <= low_d;
      sides_q <= sides_d;
      beat_q <= beat_q + 5'd1;
    end
    if (!rst_ni) beat_q <= '0;
  end

  // ---- set aside, and written ----
  typedef enum logic [1:0] {
    WritePlanes,
    WriteLow,
    WriteSides,
    WriteNothing
  } write_e;

  beat_t [7:1] plane_aside_q;
  logic [767:0] low_aside_q;
  logic [UnitBits-1:0] sides_aside_q;
  write_e state_q;
  logic [2:0] place_q;  // plane
  logic low_second_q, end_q, page_end_q;
  logic [3:0] group_q;  // of the page that is written
  ring_addr_t plane_addr_q;

  always_ff @(posedge clk_i) begin
    if (half_end) begin
      plane_aside_q <= plane_d;
      state_q <= WritePlanes;
      place_q <= 3'(tag_i.bits - 4'd1);
      end_q <= group_end;
      page_end_q <= tag_i.last;
      // Side words have as many units as a page has groups.
      plane_addr_q <= base + RingAddrBits'(beats >> 5) + RingAddrBits'({group_q, beat_q[4], 1'b0});
    end else begin
      unique case (state_q)
        WritePlanes: begin
          place_q <= place_q - 3'd1;
          plane_addr_q <= plane_addr_q + RingAddrBits'(beats >> 3);
          if (place_q == 3'd1) begin
            state_q <= end_q ? WriteLow : WriteNothing;
            low_second_q <= 1'b0;
            // 12 bytes a row: three units a group, not four.
            plane_addr_q <= plane_addr_q + RingAddrBits'(beats >> 3) - RingAddrBits'(group_q) -
                RingAddrBits'(2);
          end
        end
        WriteLow: begin
          low_second_q <= 1'b1;
          plane_addr_q <= plane_addr_q + RingAddrBits'(2);
          if (low_second_q) state_q <= WriteSides;
        end
        WriteSides: begin
          state_q <= WriteNothing;
          group_q <= page_end_q ? '0 : group_q + 4'd1;
        end
        default: ;
      endcase
    end
    if (group_end) begin
      low_aside_q <= low_d;
      sides_aside_q <= sides_d;
    end
    if (!rst_ni) begin
      state_q <= WriteNothing;
      group_q <= '0;
    end
  end

  logic [2:0] write_place;
  assign write_place = place_q == '0 ? 3'd1 : place_q;
  always_comb begin
    write_o = state_q != WriteNothing;
    write_mask_o = 2'b11;
    write_addr_o = plane_addr_q;
    write_data_o = plane_aside_q[write_place];
    if (state_q == WriteLow) begin
      write_data_o = low_second_q ? {256'd0, low_aside_q[767:512]} : low_aside_q[511:0];
      if (low_second_q) write_mask_o = 2'b01;
    end else if (state_q == WriteSides) begin
      write_data_o = {256'd0, sides_aside_q};
      write_mask_o = 2'b01;
      write_addr_o = base + RingAddrBits'(group_q);
    end
  end
  assign done_o = state_q == WriteSides && page_end_q;

  // ---- refusals: NaN and infinity anywhere in the page come first ----
  logic far_q, not_finite_q, page_far_q, page_not_finite_q;
  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      far_q <= far_i || (far_q && !(tag_i.first && `MUT(70, 1'b1, 1'b0)));
      not_finite_q <= not_finite_i || (not_finite_q && !tag_i.first);
      if (tag_i.last) begin
        page_far_q <= far_i || far_q;
        page_not_finite_q <= not_finite_i || not_finite_q;
      end
    end
  end
  always_comb begin
    refusal_o = RefusalNone;
    if (page_not_finite_q) refusal_o = RefusalNotFinite;
    else if (page_far_q) refusal_o = RefusalOutOfRange;
  end

  logic unused_cfg;
  assign unused_cfg = ^{cfg.codec, cfg.bf16, tag_i.bf16};

  `SPECKV_ASSERT(RowqStoreHasBase, !valid_i || base_valid)
  `SPECKV_ASSERT(RowqStoreIsWritten, !half_end || state_q == WriteNothing)
endmodule
