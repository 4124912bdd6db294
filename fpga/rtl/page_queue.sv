// SPDX-License-Identifier: Apache-2.0
// page_queue - raw beats that wait for their second pass: an encoder that must see a whole page
// before it can begin keeps it here.
//
// Beats leave in the order in which they came, so one page and what a pass needs to begin are
// enough for pages back to back. One beat in and one out a cycle, never stalls; read_i needs a beat
// inside (whoever reads knows), data 2 cycles later. ready_o depends on registers only.
`include "speckv_check.svh"

module page_queue
  import speckv_pkg::*;
#(
    // The largest page has 512 beats; a second pass begins within 64 cycles of its last one.
    parameter int unsigned Beats = 576
) (
    input  logic  clk_i,
    input  logic  rst_ni,
    input  logic  write_i,
    output logic  ready_o,
    input  beat_t beat_i,
    input  logic  read_i,
    output beat_t beat_o
);
  localparam int unsigned AddrBits = $clog2(Beats);
  typedef logic [AddrBits-1:0] addr_t;

  addr_t write_q, read_q, count_q;

  prim_ram #(
      .Width(BeatBits),
      .Depth(Beats)
  ) u_ram (
      .clk_i,
      .write_i,
      .write_addr_i(write_q),
      .write_data_i(beat_i),
      .read_addr_i(read_q),
      .read_data_o(beat_o)
  );
  assign ready_o = count_q != addr_t'(Beats);
  always_ff @(posedge clk_i) begin
    if (write_i) write_q <= write_q == addr_t'(Beats - 1) ? '0 : write_q + 1'b1;
    if (read_i) read_q <= read_q == addr_t'(Beats - 1) ? '0 : read_q + 1'b1;
    count_q <= count_q + addr_t'(write_i) - addr_t'(read_i);
    if (!rst_ni) begin
      write_q <= '0;
      read_q <= '0;
      count_q <= '0;
    end
  end

  `SPECKV_ASSERT(PageQueueHasRoom, !write_i || ready_o)
  `SPECKV_ASSERT(PageQueueHasBeats, !read_i || count_q != '0)
endmodule
