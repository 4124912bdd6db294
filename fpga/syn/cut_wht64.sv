// SPDX-License-Identifier: Apache-2.0
// cut_wht64 - wht64 alone between a shift register and a fold, to be placed and timed.
module cut_wht64 (
    input  logic clk_i,
    input  logic bit_i,
    output logic bit_o
);
  logic [546:0] shift_q, in_q;
  logic [736:0] out;

  always_ff @(posedge clk_i) begin
    shift_q <= {shift_q[545:0], bit_i};
    in_q    <= shift_q;
  end
  wht64 #(.Width(17)) u_cut (
    .clk_i,
    .rst_ni(in_q[0]),
    .valid_i(in_q[1]),
    .second_i(in_q[2]),
    .values_i(in_q[3+:544]),
    .valid_o(out[736]),
    .values_o(out[735:0])
  );
  syn_fold #(.Width(737)) u_fold (.clk_i, .data_i(out), .bit_o);
endmodule
