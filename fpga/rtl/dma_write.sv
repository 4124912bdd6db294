// SPDX-License-Identifier: Apache-2.0
// dma_write - moves a stream of beats into a stretch of bus memory, in bursts.
//
// A command is taken when the last one is done. A burst is announced when the queue holds all of
// its beats, so a burst that has begun never waits for the stream; the next one is announced while
// it runs, so beats leave one a cycle. done_o (a pulse): all answers are there. error_o: one of
// them was an error. drop_i: no more beats come; what was not announced is thrown away. stop_i: no
// further burst; idle_o: nothing is outstanding on the bus.
`include "speckv_check.svh"

module dma_write
  import speckv_pkg::*;
  import engine_pkg::*;
#(
    parameter int unsigned QueueDepth = 64
) (
    input  logic       clk_i,
    input  logic       rst_ni,
    input  logic       move_valid_i,
    output logic       move_ready_o,
    input  move_t      move_i,
    input  logic       drop_i,
    input  logic       stop_i,
    output logic       idle_o,
    output logic       done_o,
    output logic       error_o,
    // Bus.
    output logic       addr_valid_o,
    input  logic       addr_ready_i,
    output logic       addr_device_o,
    output axi_addr_t  addr_o,
    output logic       write_valid_o,
    input  logic       write_ready_i,
    output axi_write_t write_o,
    input  logic       answer_valid_i,
    input  logic       answer_error_i,
    // Stream.
    input  logic       valid_i,
    output logic       ready_o,
    input  beat_t      beat_i
);
  localparam int unsigned CountBits = $clog2(QueueDepth) + 1;
  localparam int unsigned BeatsBits = SegmentUnitBits;
  localparam int unsigned BurstsMax = 4;  // announced, their beats not all sent
  typedef logic [BeatsBits-1:0] beats_t;
  typedef logic [CountBits-1:0] count_t;

  beat_addr_t addr_q;
  beats_t ask_q, take_q, send_q;  // beats not announced, not taken from the stream, not sent
  beats_t open_q;  // bursts not answered
  count_t announced_q, held;  // beats announced and not sent; beats in the queue
  logic half_q, device_q, error_q, busy_q;
  logic [6:0] burst, page_left;
  logic start, asked, sent, queue_valid, queue_ready, burst_valid, burst_room, burst_last;
  logic [7:0] burst_len, beat_q;
  beat_t queue_beat;

  assign start = move_valid_i && move_ready_o;
  assign move_ready_o = !busy_q && !stop_i;
  assign idle_o = open_q == '0 && announced_q == '0;
  assign error_o = error_q;

  // ---- announcing ----
  assign page_left = 7'd64 - 7'(addr_q[5:0]);
  always_comb begin
    burst = 7'(BurstBeats);
    if (page_left < burst) burst = page_left;
    if (ask_q < beats_t'(burst)) burst = 7'(ask_q);
  end
  assign addr_valid_o = busy_q && ask_q != '0 && !stop_i && !drop_i && burst_room &&
      held - announced_q >= count_t'(
  `MUT(45, burst, 7'd1)
  );
  assign addr_device_o = device_q;
  assign addr_o = '{addr: addr_q, len: 8'(burst) - 8'd1};
  assign asked = addr_valid_o && addr_ready_i;

  prim_fifo #(
      .Width(8),
      .Depth(BurstsMax)
  ) u_bursts (
      .clk_i,
      .rst_ni,
      .valid_i(asked),
      .ready_o(burst_room),
      .data_i(addr_o.len),
      .valid_o(burst_valid),
      .ready_i(sent && burst_last),
      .data_o(burst_len),
      .count_o()
  );

  // ---- beats ----
  prim_fifo #(
      .Width(BeatBits),
      .Depth(QueueDepth)
  ) u_queue (
      .clk_i,
      .rst_ni(rst_ni && !(drop_i && idle_o)),
      .valid_i(valid_i && ready_o),
      .ready_o(queue_ready),
      .data_i(beat_i),
      .valid_o(queue_valid),
      .ready_i(sent),
      .data_o(queue_beat),
      .count_o(held)
  );
  assign ready_o = queue_ready && busy_q && take_q != '0;
  assign burst_last = beat_q == burst_len;
  assign write_valid_o = burst_valid && queue_valid;
  assign sent = write_valid_o && write_ready_i;
  always_comb begin
    write_o.data = queue_beat;
    write_o.last = burst_last;
    write_o.strobe = '1;
    if (send_q == beats_t'(1) && half_q)
      write_o.strobe = `MUT(46, {32'h0, 32'hffff_ffff}, {64{1'b1}});
  end

  logic over;
  assign over = busy_q && open_q == '0 && announced_q == '0 && (drop_i || send_q == '0);
  assign done_o = over;

  always_ff @(posedge clk_i) begin
    if (start) begin
      addr_q <= move_i.addr;
      device_q <= move_i.device;
      ask_q <= beats_t'((move_i.size + 1'b1) >> 1);
      take_q <= beats_t'((move_i.size + 1'b1) >> 1);
      send_q <= beats_t'((move_i.size + 1'b1) >> 1);
      half_q <= move_i.size[0];
      error_q <= 1'b0;
      busy_q <= 1'b1;
    end else begin
      if (asked) begin
        addr_q <= addr_q + BeatAddrBits'(burst);
        ask_q <= ask_q - beats_t'(burst);
      end
      if (valid_i && ready_o) take_q <= take_q - 1'b1;
      if (sent) send_q <= send_q - 1'b1;
      if (answer_valid_i && answer_error_i) error_q <= 1'b1;
      if (over) busy_q <= 1'b0;
    end
    if (sent) beat_q <= burst_last ? '0 : beat_q + 8'd1;
    open_q <= open_q + beats_t'(asked) - beats_t'(answer_valid_i);
    announced_q <= announced_q + (asked ? count_t'(burst) : '0) - count_t'(sent);
    if (!rst_ni) begin
      ask_q <= '0;
      take_q <= '0;
      send_q <= '0;
      open_q <= '0;
      announced_q <= '0;
      beat_q <= '0;
      busy_q <= 1'b0;
      error_q <= 1'b0;
    end
  end

  `SPECKV_PAST
  `SPECKV_ASSERT(DmaWriteStaysInPage, !addr_valid_o || 8'(addr_o.addr[5:0]) + addr_o.len < 8'd64)
  `SPECKV_ASSERT(DmaWriteNoEmptyBurst, !addr_valid_o || burst != '0)
  `SPECKV_ASSERT(DmaWriteHasWhatItAnnounced, announced_q <= held)
  `SPECKV_ASSERT(DmaWriteHeld, stop_i || drop_i || `SPECKV_NEXT(addr_valid_o && !addr_ready_i,
                                                                addr_valid_o && addr_o == $past
                                                                (addr_o)))
  `SPECKV_ASSUME(DmaWriteAnswersAreAskedFor, !answer_valid_i || open_q != '0)

`ifdef SPECKV_FORMAL
  // Beats on the bus are those of the bursts that were announced, in their order; bursts are a part
  // of what the command named, one after the other; bytes are as many as it named.
  beat_addr_t base_q;
  beats_t size_q;
  logic odd_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) size_q <= '0;
    else if (start) begin
      base_q <= move_i.addr;
      size_q <= beats_t'((move_i.size + 1'b1) >> 1);
      odd_q <= move_i.size[0];
    end
  end
  // Bursts that wait, the oldest first.
  logic [BurstsMax-1:0][7:0] lens;
  logic [7:0] waiting;
  always_comb begin
    waiting = '0;
    for (int unsigned i = 0; i < BurstsMax; i++) begin
      lens[i] = u_bursts.memory_q[2'(u_bursts.read_q+2'(i))];
      if (3'(i) < u_bursts.count_q) waiting += lens[i] + 8'd1;
    end
  end
  logic lens_ok;
  always_comb begin
    lens_ok = 1'b1;
    for (int unsigned i = 0; i < BurstsMax; i++)
    if (3'(i) < u_bursts.count_q && lens[i] >= 8'(BurstBeats)) lens_ok = 1'b0;
  end
  `SPECKV_ASSERT(DmaWriteBurstsShort, lens_ok)
  `SPECKV_ASSERT(DmaWriteBeatInBurst, burst_valid ? beat_q <= lens[0] : beat_q == '0)
  `SPECKV_ASSERT(DmaWriteAnnounced, 8'(announced_q) + beat_q == waiting)
  `SPECKV_ASSERT(DmaWriteSends, send_q == ask_q + beats_t'(announced_q))
  `SPECKV_ASSERT(DmaWriteAsks, ask_q <= send_q)
  `SPECKV_ASSERT(DmaWriteSize, send_q <= size_q && size_q <= beats_t'(1) << 16)
  `SPECKV_ASSERT(DmaWriteBusy, busy_q || (announced_q == '0 && open_q == '0))
  `SPECKV_ASSERT(DmaWriteOdd, !busy_q || half_q == odd_q)
  `SPECKV_ASSERT(DmaWritePlace, ask_q == '0 || addr_q == base_q + BeatAddrBits'(size_q - ask_q))
  `SPECKV_ASSERT(DmaWriteInMove, !addr_valid_o || beats_t'(burst) <= ask_q)
  logic [64:0] whole;
  assign whole = {1'b0, write_o.strobe} + 65'd1;
  `SPECKV_ASSERT(DmaWriteBytes,
                 !sent || whole == (send_q == beats_t'(1) && odd_q ? 65'd1 << 32 : 65'd1 << 64))
  `SPECKV_ASSUME(DmaWriteSizeIsSegment, !start || move_i.size < SegmentUnitBits'(2) << 16)
  `SPECKV_COVER(DmaWriteSecondBurst, asked && ask_q != size_q)
  `SPECKV_COVER(DmaWriteHalfBeat, sent && odd_q && send_q == beats_t'(1))
`endif
endmodule
