// SPDX-License-Identifier: Apache-2.0
// cut_round_half - round_half alone between a shift register and a fold, to be placed and timed.
module cut_round_half (
    input  logic clk_i,
    input  logic bit_i,
    output logic bit_o
);
  logic [33:0] shift_q, in_q;
  logic [15:0] out;

  always_ff @(posedge clk_i) begin
    shift_q <= {shift_q[32:0], bit_i};
    in_q    <= shift_q;
  end
  round_half u_cut (
    .clk_i,
    .neg_i(in_q[0]),
    .size_i(in_q[1+:23]),
    .exponent_i(in_q[24+:9]),
    .bf16_i(in_q[33]),
    .half_o(out)
  );
  syn_fold #(.Width(16)) u_fold (.clk_i, .data_i(out), .bit_o);
endmodule
