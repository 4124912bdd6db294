// SPDX-License-Identifier: Apache-2.0
// prim_delay - a word, Cycles cycles later: what travels beside a pipeline. Never stalls; no reset.
module prim_delay #(
    parameter int unsigned Width  = 1,
    parameter int unsigned Cycles = 1
) (
    input  logic             clk_i,
    input  logic [Width-1:0] data_i,
    output logic [Width-1:0] data_o
);
  logic [Cycles-1:0][Width-1:0] line_q;

  always_ff @(posedge clk_i) begin
    line_q[0] <= data_i;
    for (int unsigned i = 1; i < Cycles; i++) line_q[i] <= line_q[i-1];
  end
  assign data_o = line_q[Cycles-1];
endmodule
