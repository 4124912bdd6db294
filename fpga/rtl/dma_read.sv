// SPDX-License-Identifier: Apache-2.0
// dma_read - moves a stretch of bus memory into a stream of beats, in bursts.
//
// A command is taken when the last one has been delivered whole. Bursts have BurstBeats at most and
// never cross 4 KiB; one is asked for only when the queue has room for all of it, so an answer is
// taken whenever it comes, in any rhythm. Beats leave one a cycle. error_o: an answer of this
// command was an error; its beats come all the same. stop_i: no further burst; idle_o: nothing is
// outstanding on the bus.
`include "speckv_check.svh"

module dma_read
  import speckv_pkg::*;
  import engine_pkg::*;
#(
    parameter int unsigned QueueDepth = 64
) (
    input  logic      clk_i,
    input  logic      rst_ni,
    input  logic      move_valid_i,
    output logic      move_ready_o,
    input  move_t     move_i,
    input  logic      stop_i,
    output logic      idle_o,
    output logic      error_o,
    // Bus: requests, and answers that are always taken.
    output logic      addr_valid_o,
    input  logic      addr_ready_i,
    output logic      addr_device_o,
    output axi_addr_t addr_o,
    input  logic      read_valid_i,
    input  axi_read_t read_i,
    // Stream.
    output logic      valid_o,
    input  logic      ready_i,
    output beat_t     beat_o,
    output logic      half_o,         // the move ends with this beat's first unit
    output logic      last_o          // beat of the move
);
  localparam int unsigned CountBits = $clog2(QueueDepth) + 1;
  localparam int unsigned BeatsBits = SegmentUnitBits;
  typedef logic [BeatsBits-1:0] beats_t;
  typedef logic [CountBits-1:0] count_t;

  beat_addr_t addr_q;
  beats_t ask_q, give_q;  // beats not asked for yet, not delivered yet
  beats_t open_q;  // asked for and not answered
  logic half_q, device_q, error_q;
  count_t reserved_q;
  logic [6:0] burst, page_left;
  logic start, asked, pop, queue_ready;
  count_t held;

  assign start = move_valid_i && move_ready_o;
  assign move_ready_o = give_q == '0 && !stop_i;
  assign idle_o = open_q == '0;
  assign error_o = error_q;

  // A page of 4 KiB is 64 beats.
  assign page_left = 7'd64 - 7'(addr_q[5:0]);
  always_comb begin
    burst = 7'(BurstBeats);
    if (`MUT(43, page_left < burst, 1'b0)) burst = page_left;
    if (ask_q < beats_t'(burst)) burst = 7'(ask_q);
  end
  assign addr_valid_o = ask_q != '0 && !stop_i && 32'(reserved_q) + 32'(burst) <= 32'(QueueDepth);
  assign addr_device_o = device_q;
  assign addr_o = '{addr: addr_q, len: 8'(burst) - 8'd1};
  assign asked = addr_valid_o && addr_ready_i;
  assign pop = valid_o && ready_i;

  always_ff @(posedge clk_i) begin
    if (start) begin
      addr_q <= move_i.addr;
      device_q <= move_i.device;
      ask_q <= beats_t'((move_i.size + 1'b1) >> 1);
      give_q <= beats_t'((move_i.size + 1'b1) >> 1);
      half_q <= move_i.size[0];
      error_q <= 1'b0;
    end else begin
      if (asked) begin
        addr_q <= addr_q + BeatAddrBits'(burst);
        ask_q <= ask_q - beats_t'(burst);
      end
      if (pop) give_q <= give_q - 1'b1;
      if (read_valid_i && read_i.error) error_q <= `MUT(44, 1'b1, 1'b0);
    end
    reserved_q <= reserved_q + (asked ? count_t'(burst) : '0) - count_t'(pop);
    open_q <= open_q + (asked ? beats_t'(burst) : '0) - beats_t'(read_valid_i);
    if (!rst_ni) begin
      ask_q <= '0;
      give_q <= '0;
      open_q <= '0;
      reserved_q <= '0;
      error_q <= 1'b0;
    end
  end

  prim_fifo #(
      .Width(BeatBits),
      .Depth(QueueDepth)
  ) u_queue (
      .clk_i,
      .rst_ni,
      .valid_i(read_valid_i),
      .ready_o(queue_ready),
      .data_i(read_i.data),
      .valid_o,
      .ready_i,
      .data_o(beat_o),
      .count_o(held)
  );
  assign last_o = give_q == beats_t'(1);
  assign half_o = last_o && half_q;

  logic unused_held;
  assign unused_held = ^held;

  `SPECKV_PAST
  `SPECKV_ASSERT(DmaReadQueueHasRoom, !read_valid_i || queue_ready)
  `SPECKV_ASSERT(DmaReadStaysInPage, !addr_valid_o || 8'(addr_o.addr[5:0]) + addr_o.len < 8'd64)
  `SPECKV_ASSERT(DmaReadNoEmptyBurst, !addr_valid_o || burst != '0)
  `SPECKV_ASSERT(DmaReadHeld, stop_i || `SPECKV_NEXT(addr_valid_o && !addr_ready_i && !start,
                                                     addr_valid_o && addr_o == $past(addr_o)))
  `SPECKV_ASSUME(DmaReadAnswersAreAskedFor, !read_valid_i || open_q != '0)

`ifdef SPECKV_FORMAL
  // Every beat of a move is asked for, on its way, in the queue, or delivered; and every burst lies
  // within what the command named.
  beat_addr_t base_q;
  beats_t size_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) size_q <= '0;
    else if (start) begin
      base_q <= move_i.addr;
      size_q <= beats_t'((move_i.size + 1'b1) >> 1);
    end
  end
  `SPECKV_ASSERT(DmaReadReserved, beats_t'(reserved_q) == open_q + beats_t'(held))
  `SPECKV_ASSERT(DmaReadReservedFits, reserved_q <= count_t'(QueueDepth))
  `SPECKV_ASSERT(DmaReadOpenFits, open_q <= beats_t'(QueueDepth))
  `SPECKV_ASSERT(DmaReadNoneLost, give_q == ask_q + open_q + beats_t'(held))
  `SPECKV_ASSERT(DmaReadSizeBound, size_q <= beats_t'(1) << 16)
  `SPECKV_ASSERT(DmaReadSize, ask_q <= size_q && give_q <= size_q)
  `SPECKV_ASSERT(DmaReadPlace, ask_q == '0 || addr_q == base_q + BeatAddrBits'(size_q - ask_q))
  `SPECKV_ASSERT(DmaReadInMove, !addr_valid_o || beats_t'(burst) <= ask_q)
  `SPECKV_ASSUME(DmaReadSizeIsSegment, !start || move_i.size < SegmentUnitBits'(2) << 16)
  `SPECKV_COVER(DmaReadSecondBurst, asked && ask_q != size_q)
`endif
endmodule
