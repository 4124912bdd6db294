// SPDX-License-Identifier: Apache-2.0
// q8_encode - raw beats to q8 and q8sink pages in the page ring: an encoder core of a lane.
//
// Pages back to back, one raw beat a cycle, with gaps or without; nothing waits. A beat goes
// through q8_scale (10 cycles); the codes of two are written as one word. Between these words
// there is room for a unit of scales every 32 beats, and for the first token of q8sink, which goes
// behind the page as it is. First beat in to done_o: the page's beats and 12 cycles.
`include "speckv_check.svh"

module q8_encode
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
  localparam int unsigned PathCycles = 10;
  localparam int unsigned SinkBeats = 16;  // at hand: of two pages

  // What goes beside a beat.
  typedef struct packed {
    logic       first;       // beat of its page
    logic       last;
    logic       odd;         // the second of a word
    logic       scales_end;  // the last of 32
    ring_addr_t scale_addr;
    ring_addr_t code_addr;   // of its word
  } tag_t;

  // ---- beats in ----
  logic page_valid, take, sink, sink_room;
  page_cfg_t cfg;
  ring_addr_t base, codes_base, sink_base;
  page_units_t beat_q, beats;
  tag_t tag, made;
  logic [PathCycles-1:0] valid_q;

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
      .ready_i(take && tag.last),
      .data_o({cfg, base}),
      .count_o()
  );
  assign ready_o = page_valid;
  assign take = valid_i && page_valid;
  assign beats = page_beats(cfg);
  assign codes_base = base + RingAddrBits'(beats >> 5);
  assign sink_base = codes_base + RingAddrBits'(beats);
  assign
      sink = cfg.codec == CodecQ8sink && beat_q < PageUnitBits'({2'd0, cfg.blocks} + 4'd1) << `MUT(
          124, 1, 0);
  assign tag = '{
          first: beat_q == '0,
          last: beat_q + 11'd1 == beats,
          odd: beat_q[0],
          scales_end: beat_q[4:0] == '1,
          scale_addr: base + RingAddrBits'(beat_q >> 5),
          code_addr: codes_base + RingAddrBits'({beat_q[PageUnitBits-1:1], 1'b0})
      };
  always_ff @(posedge clk_i) begin
    valid_q <= {valid_q[PathCycles-2:0], take};
    if (take) beat_q <= tag.last ? '0 : beat_q + 11'd1;
    if (!rst_ni) begin
      valid_q <= '0;
      beat_q <= '0;
    end
  end
  prim_delay #(
      .Width($bits(tag_t)),
      .Cycles(PathCycles)
  ) u_tag (
      .clk_i,
      .data_i(tag),
      .data_o(made)
  );

  logic [7:0] scale;
  logic [UnitBits-1:0] codes;
  logic far, not_finite;
  q8_scale u_scale (
      .clk_i,
      .rst_ni,
      .bf16_i(cfg.bf16),
      .values_i(beat_i),
      .scale_o(scale),
      .codes_o(codes),
      .far_o(far),
      .not_finite_o(not_finite)
  );

  // ---- the first token, until there is a cycle for it ----
  logic sink_valid, sink_write, sink_take_q;
  beat_t sink_beat, sink_beat_q;
  ring_addr_t sink_addr, sink_addr_q;

  always_ff @(posedge clk_i) begin
    sink_take_q <= take && sink && rst_ni;
    sink_beat_q <= beat_i;
    sink_addr_q <= sink_base + RingAddrBits'({beat_q, 1'b0});
  end
  prim_fifo #(
      .Width(BeatBits + RingAddrBits),
      .Depth(SinkBeats)
  ) u_sink (
      .clk_i,
      .rst_ni,
      .valid_i(sink_take_q),
      .ready_o(sink_room),
      .data_i({sink_beat_q, sink_addr_q}),
      .valid_o(sink_valid),
      .ready_i(sink_write),
      .data_o({sink_beat, sink_addr}),
      .count_o()
  );

  // ---- words out: codes, then scales, then the first token ----
  logic made_valid, code_write, scale_write_q, page_end_q;
  logic [UnitBits-1:0] codes_q, scales_q;
  ring_addr_t scale_addr_q;
  logic far_q, not_finite_q;

  assign made_valid = valid_q[PathCycles-1];
  assign code_write = made_valid && made.odd;
  assign sink_write = sink_valid && !code_write && !scale_write_q;
  always_ff @(posedge clk_i) begin
    if (made_valid) begin
      codes_q <= codes;
      scales_q <= {scale, scales_q[UnitBits-1:8]};
      scale_addr_q <= made.scale_addr;
      far_q <= far || (far_q && !(made.first && `MUT(125, 1'b1, 1'b0)));
      not_finite_q <= not_finite || (not_finite_q && !made.first);
    end
    scale_write_q <= made_valid && made.scales_end && rst_ni;
    page_end_q <= made.last;
  end
  always_comb begin
    write_o = code_write || scale_write_q || sink_write;
    write_mask_o = 2'b11;
    write_addr_o = sink_addr;
    write_data_o = sink_beat;
    if (scale_write_q) begin
      write_mask_o = 2'b01;
      write_addr_o = scale_addr_q;
      write_data_o = {256'd0, scales_q};
    end else if (code_write) begin
      write_addr_o = made.code_addr;
      write_data_o = {codes, codes_q};
    end
  end
  assign done_o = scale_write_q && page_end_q;
  always_comb begin
    refusal_o = RefusalNone;
    if (not_finite_q) refusal_o = RefusalNotFinite;
    else if (far_q) refusal_o = RefusalOutOfRange;
  end

  logic unused_cfg;
  assign unused_cfg = ^cfg;

  `SPECKV_ASSERT(Q8EncodeOneWrite, !(scale_write_q && code_write))
  `SPECKV_ASSERT(Q8EncodeSinkHasRoom, !sink_take_q || sink_room)
  `SPECKV_ASSERT(Q8EncodeSinkIsWritten, !done_o || !sink_valid || beat_q != '0)
endmodule
