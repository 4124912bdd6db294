// SPDX-License-Identifier: Apache-2.0
// xpack_decode - xpack pages of the page ring to raw beats: a decoder core of a lane.
//
// Pages of any shape, back to back, one raw beat a cycle. Nothing inside stalls: a beat is taken
// when the queue behind the datapath has room for it, and is there 15 cycles later.
`include "speckv_check.svh"

module xpack_decode
  import speckv_pkg::*;
  import xpack_pkg::*;
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
  // take_o to the queue: 1 cycle in xpack_fetch, 13 in xpack_path, and the queue's own.
  localparam int unsigned QueueDepth = 32;

  logic take, give, room, available, row_valid, made_valid, made_last, queue_ready;
  row_t row;
  beat_t made, head_data;
  logic head_valid;
  logic [4:0] head_addr;

  xpack_fetch u_fetch (
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
      .head_valid_o(head_valid),
      .head_addr_o(head_addr),
      .head_data_o(head_data),
      .room_i(room),
      .take_o(take),
      .valid_o(row_valid),
      .row_o(row)
  );

  prim_credit #(
      .Credits(QueueDepth)
  ) u_credit (
      .clk_i,
      .rst_ni,
      .take_i(take),
      .give_i(give),
      .available_o(available),
      .used_o()
  );
  assign room = available;

  xpack_path u_path (
      .clk_i,
      .rst_ni,
      .head_valid_i(head_valid),
      .head_addr_i(head_addr),
      .head_data_i(head_data),
      .valid_i(row_valid),
      .row_i(row),
      .valid_o(made_valid),
      .last_o(made_last),
      .beat_o(made)
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

  `SPECKV_ASSERT(XpackDecodeQueueHasRoom, !made_valid || queue_ready)
endmodule
