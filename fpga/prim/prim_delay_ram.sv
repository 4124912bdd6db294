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
  localparam int unsigned Depth = 32;

  logic [Width-1:0] memory_q[Depth];
  logic [4:0] place_q;

  always_ff @(posedge clk_i) begin
    place_q <= rst_ni ? place_q + 5'd1 : '0;
    memory_q[place_q] <= data_i;
    data_o <= memory_q[place_q-5'(Cycles-1)];
  end
endmodule
