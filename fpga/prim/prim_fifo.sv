// SPDX-License-Identifier: Apache-2.0
// prim_fifo - a queue of Depth words, first word falls through.
//
// Latency 1 cycle, 1 word a cycle; full: ready_o is low, nothing is lost. ready_o depends on
// registers only, so that no path runs from ready_i to ready_o. Depth is a power of two.
`include "speckv_check.svh"

module prim_fifo #(
    parameter  int unsigned Width      = 8,
    parameter  int unsigned Depth      = 4,
    localparam int unsigned CountWidth = $clog2(Depth) + 1
) (
    input  logic                  clk_i,
    input  logic                  rst_ni,
    input  logic                  valid_i,
    output logic                  ready_o,
    input  logic [     Width-1:0] data_i,
    output logic                  valid_o,
    input  logic                  ready_i,
    output logic [     Width-1:0] data_o,
    output logic [CountWidth-1:0] count_o
);
  localparam int unsigned PtrWidth = $clog2(Depth);

  logic [Width-1:0] memory_q[Depth];
  logic [PtrWidth-1:0] write_q, read_q;
  logic [CountWidth-1:0] count_q;
  logic push, pop;

  assign ready_o = count_q != CountWidth'(Depth + `MUT(1, 0, 1));
  assign valid_o = count_q != '0;
  assign data_o = memory_q[read_q];
  assign count_o = count_q;
  assign push = valid_i && ready_o;
  assign pop = valid_o && ready_i;

  always_ff @(posedge clk_i) begin
    if (push) memory_q[write_q] <= data_i;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      write_q <= '0;
      read_q <= '0;
      count_q <= '0;
    end else begin
      if (push) write_q <= write_q + 1'b1;
      if (pop) read_q <= read_q + 1'b1;
      count_q <= count_q + CountWidth'(push) - CountWidth'(`MUT(2, pop, pop && !push));
    end
  end

  `SPECKV_ASSERT(FifoCountInRange, count_q <= CountWidth'(Depth))
  `SPECKV_ASSERT(FifoPointersAgree, PtrWidth'(write_q - read_q) == count_q[PtrWidth-1:0])

`ifdef SPECKV_FORMAL
  `SPECKV_PAST
  // Any one word, chosen by the solver: it comes out as it went in, behind those before it.
  (* anyseq *) logic watch;
  logic watched_q;
  logic [CountWidth-1:0] ahead_q;
  logic [Width-1:0] word_q, kept;
  logic [PtrWidth-1:0] place;

  assign kept = memory_q[place];
  assign place = read_q + PtrWidth'(ahead_q);
  always_ff @(posedge clk_i) begin
    if (!rst_ni) watched_q <= 1'b0;
    else if (!watched_q) begin
      watched_q <= push && watch;
      ahead_q <= count_q - CountWidth'(pop);
      word_q <= data_i;
    end else if (pop) begin
      if (ahead_q == '0) watched_q <= 1'b0;
      ahead_q <= ahead_q - 1'b1;
    end
  end
  `SPECKV_ASSERT(FifoWordIsKept, !watched_q || (ahead_q < count_q && kept == word_q))
  `SPECKV_ASSERT(FifoWordInOrder, !(watched_q && ahead_q == '0) || (valid_o && data_o == word_q))
  `SPECKV_COVER(FifoFullAndEmptied, watched_q && count_q == CountWidth'(1) && pop)
  `SPECKV_COVER(FifoFull, !ready_o)
`endif
endmodule
