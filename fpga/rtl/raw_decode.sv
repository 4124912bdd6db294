// SPDX-License-Identifier: Apache-2.0
// raw_decode - raw pages of the page ring to raw beats: the simplest decoder core of a lane.
//
// One beat a cycle, pages back to back. First address to first beat: 4 cycles. See rowq_decode for
// the same with a datapath in between.
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
    output ring_addr_t read_addr_o,
    input  beat_t      read_data_i,
    output logic       valid_o,
    input  logic       ready_i,
    output beat_t      beat_o,
    output logic       last_o
);
  localparam int unsigned QueueDepth = 8;

  page_units_t beat_q, beats;
  logic available, end_beat, queue_ready;
  logic [RingLatency-1:0] read_q, last_q;

  assign beats = page_beats(page_cfg_i);
  assign end_beat = beat_q + 11'd1 == beats;
  assign read_o = page_valid_i && available;
  assign read_addr_o = page_base_i + RingAddrBits'({beat_q, 1'b0});
  // The lane takes the next page in the same cycle in which the last address of this one is read.
  assign page_done_o = read_o && end_beat;

  always_ff @(posedge clk_i) begin
    read_q <= {read_q[RingLatency-2:0], read_o};
    last_q <= {last_q[RingLatency-2:0], end_beat};
    if (read_o) beat_q <= end_beat ? '0 : beat_q + 11'd1;
    if (!rst_ni) begin
      read_q <= '0;
      beat_q <= '0;
    end
  end

  prim_credit #(
      .Credits(QueueDepth)
  ) u_credit (
      .clk_i,
      .rst_ni,
      .take_i(read_o),
      .give_i(valid_o && ready_i),
      .available_o(available),
      .used_o()
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
      .valid_o,
      .ready_i,
      .data_o({last_o, beat_o}),
      .count_o()
  );

  logic unused_cfg;
  assign unused_cfg = ^{page_cfg_i.codec, page_cfg_i.bf16};

  `SPECKV_ASSERT(RawDecodeQueueHasRoom, !read_q[RingLatency-1] || queue_ready)
endmodule
