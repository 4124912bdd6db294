// SPDX-License-Identifier: Apache-2.0
// raw_decode - raw pages of the page ring to raw beats: the simplest decoder core of a lane.
//
// One beat a cycle, pages back to back. It reads as fast as it writes, so a core that follows it
// would come to read when the last raw beat has left: so beats wait here until CoreLead cycles have
// passed since the first was read, the time that other cores take to their own first beat.
`include "speckv_check.svh"

module raw_decode
  import speckv_pkg::*;
(
    input  logic       clk_i,
    input  logic       rst_ni,
    input  logic       page_valid_i,
    input  page_cfg_t  page_cfg_i,
    input  ring_addr_t page_base_i,
    output logic       page_done_o,
    output logic       read_o,
    output logic       read_half_o,
    output ring_addr_t read_addr_o,
    input  logic       read_grant_i,
    input  beat_t      read_data_i,
    output logic       valid_o,
    input  logic       ready_i,
    output beat_t      beat_o,
    output logic       last_o
);
  localparam int unsigned QueueDepth = 64;

  page_units_t beat_q, beats;
  logic available, end_beat, queue_ready, reading, queue_valid, led;
  logic [  $clog2(CoreLead+1)-1:0] lead_q;
  logic [$clog2(QueueDepth+1)-1:0] used;
  logic [RingLatency-1:0] read_q, last_q;

  assign beats = page_beats(page_cfg_i);
  assign end_beat = beat_q + 11'd1 == beats;
  assign read_half_o = 1'b0;
  assign read_o = page_valid_i && available;
  assign read_addr_o = page_base_i + RingAddrBits'({beat_q, 1'b0});
  assign reading = read_o && read_grant_i;
  assign page_done_o = reading && end_beat;
  assign led = lead_q == ($clog2(CoreLead + 1))'(CoreLead);
  assign valid_o = queue_valid && led;

  always_ff @(posedge clk_i) begin
    read_q <= {read_q[RingLatency-2:0], reading};
    last_q <= {last_q[RingLatency-2:0], end_beat};
    if (reading) beat_q <= end_beat ? '0 : beat_q + 11'd1;
    // The lead stays as long as beats follow each other.
    if (used == '0) lead_q <= '0;
    else if (!led) lead_q <= lead_q + 1'b1;
    if (!rst_ni) begin
      lead_q <= '0;
      read_q <= '0;
      beat_q <= '0;
    end
  end

  prim_credit #(
      .Credits(QueueDepth)
  ) u_credit (
      .clk_i,
      .rst_ni,
      .take_i(reading),
      .give_i(valid_o && ready_i),
      .available_o(available),
      .used_o(used)
  );
  prim_fifo #(
      .Width(BeatBits + 1),
      .Depth(QueueDepth)
  ) u_queue (
      .clk_i,
      .rst_ni,
      .valid_i(read_q[RingLatency-1]),
      .ready_o(queue_ready),
      .data_i({last_q[RingLatency-1], read_data_i}),
      .valid_o(queue_valid),
      .ready_i(ready_i && led),
      .data_o({last_o, beat_o}),
      .count_o()
  );

  logic unused_cfg;
  assign unused_cfg = ^{page_cfg_i.codec, page_cfg_i.bf16};

  `SPECKV_ASSERT(RawDecodeQueueHasRoom, !read_q[RingLatency-1] || queue_ready)
endmodule
