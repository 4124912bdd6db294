// SPDX-License-Identifier: Apache-2.0
// cut_checksum - checksum alone between a shift register and a fold, to be placed and timed.
module cut_checksum (
    input  logic clk_i,
    input  logic bit_i,
    output logic bit_o
);
  logic [516:0] shift_q, in_q;
  logic [64:0] out;

  always_ff @(posedge clk_i) begin
    shift_q <= {shift_q[515:0], bit_i};
    in_q    <= shift_q;
  end
  checksum u_cut (
    .clk_i,
    .rst_ni(in_q[0]),
    .valid_i(in_q[1]),
    .first_i(in_q[2]),
    .last_i(in_q[3]),
    .half_i(in_q[4]),
    .beat_i(in_q[5+:512]),
    .valid_o(out[64]),
    .sum_o(out[63:0])
  );
  syn_fold #(.Width(65)) u_fold (.clk_i, .data_i(out), .bit_o);
endmodule
