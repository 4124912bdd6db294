// SPDX-License-Identifier: Apache-2.0
// page_top - the largest exponent field of a page's values.
//
// top_o has the beats so far, 5 cycles after each; a page's first beat starts it anew. A beat a
// cycle, never stalls.
module page_top
  import speckv_pkg::*;
(
    input  logic        clk_i,
    input  logic        rst_ni,
    input  logic        valid_i,
    input  logic        first_i,
    input  logic        bf16_i,
    input  beat_t       beat_i,
    output logic  [7:0] top_o
);
  function automatic logic [7:0] larger(input logic [7:0] a, input logic [7:0] b);
    return a > b ? a : b;
  endfunction

  logic [31:0][7:0] field_1;
  logic [7:0][7:0] top_2;
  logic [1:0][7:0] top_3;
  logic [7:0] top_4;
  logic [3:0] valid_q, first_q;

  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni ? {valid_q[2:0], valid_i} : '0;
    first_q <= {first_q[2:0], first_i};
    for (int unsigned i = 0; i < 32; i++)
    field_1[i] <= bf16_i ? beat_i[16*i+7+:8] : {3'd0, beat_i[16*i+10+:5]};
    for (int unsigned i = 0; i < 8; i++)
    top_2[i] <= larger(
        larger(field_1[4*i], field_1[4*i+1]), larger(field_1[4*i+2], field_1[4*i+3])
    );
    for (int unsigned i = 0; i < 2; i++)
    top_3[i] <= larger(larger(top_2[4*i], top_2[4*i+1]), larger(top_2[4*i+2], top_2[4*i+3]));
    top_4 <= larger(top_3[0], top_3[1]);
    if (valid_q[3]) top_o <= first_q[3] ? top_4 : larger(top_4, top_o);
  end
endmodule
