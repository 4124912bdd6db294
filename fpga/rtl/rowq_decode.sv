// SPDX-License-Identifier: Apache-2.0
// rowq_decode - rowq pages of the page ring to raw beats: a decoder core of a lane.
//
// Pages of any of its codecs and shapes, back to back, one raw beat a cycle. First address to first
// beat: 2 * bits + 28 cycles. Nothing inside stalls: a beat is read when the queue behind the
// datapath has room for it.
`include "speckv_check.svh"

module rowq_decode
  import speckv_pkg::*;
  import rowq_pkg::*;
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
    output logic       last_o         // beat of its page
);
  // take_o to the queue: 2 cycles in rowq_fetch, 20 in rowq_decode_path, and the queue's own.
  localparam int unsigned QueueDepth = 32;
  localparam int unsigned CountBits = $clog2(QueueDepth + 1);

  logic take, give, room, available, coded_valid, made_valid, made_last, queue_ready;
  logic [CountBits-1:0] used;
  coded_t coded;
  beat_t made;

  rowq_fetch u_fetch (
      .clk_i,
      .rst_ni,
      .page_valid_i,
      .page_cfg_i,
      .page_base_i,
      .page_done_o,
      .read_o,
      .read_half_o,
      .read_addr_o,
      .read_grant_i,
      .read_data_i,
      .room_i(room),
      .take_o(take),
      .valid_o(coded_valid),
      .coded_o(coded)
  );

  prim_credit #(
      .Credits(QueueDepth)
  ) u_credit (
      .clk_i,
      .rst_ni,
      .take_i(take),
      .give_i(give),
      .available_o(available),
      .used_o(used)
  );
  assign room = used <= CountBits'(QueueDepth - `MUT(31, 2, 0)) && available;

  rowq_decode_path u_path (
      .clk_i,
      .rst_ni,
      .valid_i(coded_valid),
      .coded_i(coded),
      .valid_o(made_valid),
      .last_o(made_last),
      .values_o(made)
  );

  prim_fifo #(
      .Width(BeatBits + 1),
      .Depth(QueueDepth)
  ) u_queue (
      .clk_i,
      .rst_ni,
      .valid_i(made_valid),
      .ready_o(queue_ready),
      .data_i({made_last, made}),
      .valid_o,
      .ready_i,
      .data_o({last_o, beat_o}),
      .count_o()
  );
  assign give = valid_o && ready_i;

  `SPECKV_ASSERT(RowqDecodeQueueHasRoom, !made_valid || queue_ready)
endmodule
