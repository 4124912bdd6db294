// SPDX-License-Identifier: Apache-2.0
// rowq_encode - raw beats to rowq pages in the page ring: an encoder core of a lane.
//
// Pages of any of its codecs and shapes, back to back, one raw beat a cycle, with gaps or without.
// Beats wait until their row is whole (4 cycles), go through rowq_encode_path (54) and are written
// by rowq_store, which ends a page 12 cycles after its last codes. The ring has room for the whole
// page when it is handed out, so nothing behind can stall. done_o and refusal_o come in page order.
`include "speckv_check.svh"

module rowq_encode
  import speckv_pkg::*;
  import rowq_pkg::*;
(
    input  logic             clk_i,
    input  logic             rst_ni,
    // Pages, in order, each before its beats.
    input  logic             page_valid_i,
    output logic             page_ready_o,
    input  page_cfg_t        page_cfg_i,
    input  ring_addr_t       page_base_i,
    // Their raw beats.
    input  logic             valid_i,
    output logic             ready_o,
    input  beat_t            beat_i,
    // Page ring.
    output logic             write_o,
    output logic       [1:0] write_mask_o,
    output ring_addr_t       write_addr_o,
    output beat_t            write_data_o,
    output logic             done_o,
    output refusal_e         refusal_o
);
  localparam int unsigned QueueDepth = 16;

  // ---- rows ----
  logic page_valid, page_end, go, beat_valid, store_ready;
  page_cfg_t cfg;
  ring_addr_t base;
  beat_t beat;
  logic [$clog2(QueueDepth):0] count;
  logic [1:0] quarter_q;
  page_units_t beat_q;
  tag_t tag;

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
      .ready_i(go && page_end),
      .data_o({cfg, base}),
      .count_o()
  );
  prim_fifo #(
      .Width(BeatBits),
      .Depth(QueueDepth)
  ) u_queue (
      .clk_i,
      .rst_ni,
      .valid_i,
      .ready_o,
      .data_i(beat_i),
      .valid_o(beat_valid),
      .ready_i(go),
      .data_o(beat),
      .count_o(count)
  );
  // A row begins when it is there whole, and its page's base has a place in the store.
  assign go = page_valid && beat_valid &&
      (quarter_q != '0 || (count >= 5'd4 && (beat_q != '0 || store_ready)));
  assign page_end = beat_q + 11'd1 == page_beats(cfg);

  always_ff @(posedge clk_i) begin
    if (go) begin
      quarter_q <= quarter_q + 2'd1;
      beat_q <= page_end ? '0 : beat_q + 11'd1;
    end
    if (!rst_ni) begin
      quarter_q <= '0;
      beat_q <= '0;
    end
  end
  assign tag = '{
          first: beat_q == '0,
          last: page_end,
          quarter: quarter_q,
          bits: cfg.codec[3:0],
          bf16: cfg.bf16
      };

  // ---- codes, and their page ----
  logic codes_valid, codes_far, codes_not_finite;
  tag_t codes_tag;
  logic [31:0] codes_side;
  logic [31:0][7:0] codes;

  rowq_encode_path u_path (
      .clk_i,
      .rst_ni,
      .valid_i(go),
      .tag_i(tag),
      .values_i(beat),
      .valid_o(codes_valid),
      .tag_o(codes_tag),
      .side_o(codes_side),
      .codes_o(codes),
      .far_o(codes_far),
      .not_finite_o(codes_not_finite)
  );
  rowq_store u_store (
      .clk_i,
      .rst_ni,
      .page_valid_i(go && beat_q == '0),
      .page_ready_o(store_ready),
      .page_cfg_i(cfg),
      .page_base_i(base),
      .valid_i(codes_valid),
      .tag_i(codes_tag),
      .side_i(codes_side),
      .codes_i(codes),
      .far_i(codes_far),
      .not_finite_i(codes_not_finite),
      .write_o,
      .write_mask_o,
      .write_addr_o,
      .write_data_o,
      .done_o,
      .refusal_o
  );

  logic unused_cfg;
  assign unused_cfg = cfg.codec[4];

  `SPECKV_ASSERT(RowqEncodeRowIsWhole, quarter_q == '0 || go)
endmodule
