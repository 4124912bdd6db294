// SPDX-License-Identifier: Apache-2.0
// prim_delay_ram - a wide word, Cycles cycles later, in memory instead of registers. Never stalls.
//
// For data beside a pipeline; Cycles is 3 .. 32. What comes out in the first Cycles cycles means
// nothing.
module prim_delay_ram #(
    parameter int unsigned Width  = 32,
    parameter int unsigned Cycles = 8
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic [Width-1:0] data_i,
    output logic [Width-1:0] data_o
);
  localparam int unsigned Depth = Cycles > 16 ? 32 : 16;
  localparam int unsigned PlaceBits = $clog2(Depth);
  typedef logic [PlaceBits-1:0] place_t;

  logic [Width-1:0] memory_q[Depth];
  place_t write_q, read_q;  // Cycles - 1 apart, each a register: many words' addresses

  always_ff @(posedge clk_i) begin
    write_q <= rst_ni ? write_q + 1'b1 : '0;
    read_q <= rst_ni ? read_q + 1'b1 : place_t'(Depth + 1 - Cycles);
    memory_q[write_q] <= data_i;
    data_o <= memory_q[read_q];
  end
endmodule
