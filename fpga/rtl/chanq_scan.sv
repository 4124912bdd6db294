// SPDX-License-Identifier: Apache-2.0
// chanq_scan - the first pass of chanq_encode: pages wait while their largest exponent is found.
//
// Beats come one a cycle, with gaps or without. scanned_valid_o: a page is here whole, 6 cycles
// after its last beat; read_i takes its beats (2 cycles later at beat_o), done_i with the last one.
// Sustains pages back to back as long as at most three wait. Where the exponent is out of the
// codec's range or some value is not finite, the page is refused, but goes its way like any other.
`include "speckv_check.svh"

module chanq_scan
  import speckv_pkg::*;
  import chanq_pkg::*;
(
    input  logic              clk_i,
    input  logic              rst_ni,
    input  logic              page_valid_i,
    output logic              page_ready_o,
    input  page_cfg_t         page_cfg_i,
    input  ring_count_t       page_base_i,
    input  rope_t             page_rope_i,
    input  logic        [7:0] page_slot_i,
    input  logic              valid_i,
    output logic              ready_o,
    input  beat_t             beat_i,
    output logic              scanned_valid_o,
    output scanned_t          scanned_o,
    input  logic              read_i,
    output beat_t             beat_o,
    input  logic              done_i
);
  localparam int unsigned Waiting = 4;
  localparam int unsigned TopCycles = 5;

  logic page_valid, queue_ready, take, take_end, top_known, ended_ready, ended_valid;
  scanned_t page, ended, scanned_d;
  page_units_t take_q;
  logic [TopCycles-1:0] end_q;
  logic [7:0] top;

  prim_fifo #(
      .Width($bits(scanned_t)),
      .Depth(2)
  ) u_pages (
      .clk_i,
      .rst_ni,
      .valid_i(page_valid_i),
      .ready_o(page_ready_o),
      .data_i({page_slot_i, page_cfg_i, page_base_i, page_rope_i, 8'd0, RefusalNone}),
      .valid_o(page_valid),
      .ready_i(take && take_end),
      .data_o(page),
      .count_o()
  );
  logic [2:0] waits_q;  // pages whose first pass is over, and the second not
  logic scanned_ready;
  assign ready_o = page_valid && queue_ready && waits_q < 3'(Waiting - 1);
  assign take = valid_i && ready_o;
  assign take_end = take_q + 11'd1 == page_beats(page.page.cfg);
  assign top_known = end_q[TopCycles-1];
  always_ff @(posedge clk_i) begin
    if (take) take_q <= take_end ? '0 : take_q + 11'd1;
    waits_q <= waits_q + 3'(take && take_end) - 3'(done_i);
    end_q <= rst_ni ? {end_q[TopCycles-2:0], take && take_end} : '0;
    if (!rst_ni) begin
      take_q <= '0;
      waits_q <= '0;
    end
  end
  page_top u_top (
      .clk_i,
      .rst_ni,
      .valid_i(take),
      .first_i(take_q == '0),
      .bf16_i(page.page.cfg.bf16),
      .beat_i,
      .top_o(top)
  );
  prim_fifo #(
      .Width($bits(scanned_t)),
      .Depth(Waiting)
  ) u_ended (
      .clk_i,
      .rst_ni,
      .valid_i(take && take_end),
      .ready_o(ended_ready),
      .data_i(page),
      .valid_o(ended_valid),
      .ready_i(top_known),
      .data_o(ended),
      .count_o()
  );
  always_comb begin
    logic [7:0] least;
    scanned_d = ended;
    least = ended.page.cfg.bf16 ? 8'd100 : 8'd1;
    scanned_d.page.field = top < least ? least : top;
    if (top == (ended.page.cfg.bf16 ? 8'd255 : 8'd31)) scanned_d.page.refusal = RefusalNotFinite;
    else if (top >= (ended.page.cfg.bf16 ? 8'd147 : `MUT(151, 8'd29, 8'd30)))
      scanned_d.page.refusal = RefusalOutOfRange;
  end
  prim_fifo #(
      .Width($bits(scanned_t)),
      .Depth(Waiting)
  ) u_scanned (
      .clk_i,
      .rst_ni,
      .valid_i(top_known),
      .ready_o(scanned_ready),
      .data_i(scanned_d),
      .valid_o(scanned_valid_o),
      .ready_i(done_i),
      .data_o(scanned_o),
      .count_o()
  );
  page_queue u_queue (
      .clk_i,
      .rst_ni,
      .write_i(take),
      .ready_o(queue_ready),
      .beat_i,
      .read_i,
      .beat_o
  );

  `SPECKV_ASSERT(
      ChanqScanQueuesHaveRoom,
      (!(take && take_end) || ended_ready) && (!top_known || (scanned_ready && ended_valid)))
endmodule
