// SPDX-License-Identifier: Apache-2.0
// raw_encode - raw beats to raw pages in the page ring: the simplest encoder core of a lane.
//
// A beat a cycle, written in the cycle in which it comes; refuses nothing. See rowq_encode for the
// same with a datapath in between.
`include "speckv_check.svh"

module raw_encode
  import speckv_pkg::*;
(
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             page_valid_i,
    output logic             page_ready_o,
    input  page_cfg_t        page_cfg_i,
    input  ring_addr_t       page_base_i,
    input  logic             valid_i,
    output logic             ready_o,
    input  beat_t            beat_i,
    output logic             write_o,
    output logic       [1:0] write_mask_o,
    output ring_addr_t       write_addr_o,
    output beat_t            write_data_o,
    output logic             done_o,
    output refusal_e         refusal_o
);
  logic page_valid, page_end;
  page_cfg_t   cfg;
  ring_addr_t  base;
  page_units_t beat_q;

  prim_fifo #(
      .Width($bits(page_cfg_t) + RingAddrBits),
      .Depth(2)
  ) u_pages (
      .clk_i,
      .rst_ni,
      .valid_i(page_valid_i),
      .ready_o(page_ready_o),
      .data_i({page_cfg_i, page_base_i}),
      .valid_o(page_valid),
      .ready_i(done_o),
      .data_o({cfg, base}),
      .count_o()
  );
  assign ready_o = page_valid;
  assign page_end = beat_q + 11'd1 == page_beats(cfg);
  assign write_o = valid_i && page_valid;
  assign write_mask_o = 2'b11;
  assign write_addr_o = base + RingAddrBits'({beat_q, 1'b0});
  assign write_data_o = beat_i;
  assign done_o = write_o && page_end;
  assign refusal_o = RefusalNone;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) beat_q <= '0;
    else if (write_o) beat_q <= page_end ? '0 : beat_q + 11'd1;
  end

  logic unused_cfg;
  assign unused_cfg = ^{cfg.codec, cfg.bf16};
endmodule
