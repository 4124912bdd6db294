// SPDX-License-Identifier: Apache-2.0
// chanq_widths - the widths in table memory, and those of the pages at hand.
//
// ask_i with a slot for each page, in order, Pages under way at most; 5 cycles later valid_o says
// that the page's widths are at widths_o, until next_i. A slot is two words: channels 0 .. 127,
// then the others. Writes at any time, a word a cycle.
`include "speckv_check.svh"

module chanq_widths
  import speckv_pkg::*;
  import engine_pkg::*;
  import chanq_pkg::*;
#(
    parameter int unsigned Pages = 2  // under way
) (
    input  logic                           clk_i,
    input  logic                           rst_ni,
    input  logic                           write_i,
    input  logic    [$clog2(WidthSlots):0] write_addr_i,
    input  beat_t                          write_data_i,
    input  logic                           ask_i,
    input  logic    [                 7:0] slot_i,
    output logic                           valid_o,
    output widths_t                        widths_o,
    input  logic                           next_i
);
  logic slot_valid, slot_ready, slot_end, reading, room, upper_q;
  logic [7:0] slot;
  logic [2:0] read_q;  // of the upper word
  beat_t word, lower_q;

  prim_fifo #(
      .Width(8),
      .Depth(Pages)
  ) u_slots (
      .clk_i,
      .rst_ni,
      .valid_i(ask_i),
      .ready_o(slot_ready),
      .data_i(slot_i),
      .valid_o(slot_valid),
      .ready_i(slot_end),
      .data_o(slot),
      .count_o()
  );
  assign reading = slot_valid;
  assign slot_end = reading && upper_q;
  always_ff @(posedge clk_i) begin
    if (reading) upper_q <= !upper_q;
    read_q <= {read_q[1:0], slot_end};
    lower_q <= word;
    if (!rst_ni) begin
      upper_q <= 1'b0;
      read_q <= '0;
    end
  end
  prim_ram #(
      .Width(BeatBits),
      .Depth(2 * WidthSlots)
  ) u_ram (
      .clk_i,
      .write_i,
      .write_addr_i,
      .write_data_i,
      .read_addr_i({slot, upper_q}),
      .read_data_o(word)
  );
  prim_fifo #(
      .Width($bits(widths_t)),
      .Depth(Pages)
  ) u_widths (
      .clk_i,
      .rst_ni,
      .valid_i(read_q[1]),
      .ready_o(room),
      .data_i({word, lower_q}),
      .valid_o,
      .ready_i(next_i),
      .data_o(widths_o),
      .count_o()
  );

  logic unused_read;
  assign unused_read = read_q[2];

  `SPECKV_ASSERT(ChanqWidthsHaveRoom, (!ask_i || slot_ready) && (!read_q[1] || room))
endmodule
