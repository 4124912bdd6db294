// SPDX-License-Identifier: Apache-2.0
// cut_rowq_decode_path - rowq_decode_path alone between a shift register and a fold, to be placed
// and timed.
module cut_rowq_decode_path (
    input  logic clk_i,
    input  logic bit_i,
    output logic bit_o
);
  logic [290:0] shift_q, in_q;
  logic [513:0] out;

  always_ff @(posedge clk_i) begin
    shift_q <= {shift_q[289:0], bit_i};
    in_q    <= shift_q;
  end
  rowq_decode_path u_cut (
    .clk_i,
    .rst_ni(in_q[0]),
    .valid_i(in_q[1]),
    .coded_i(in_q[2+:289]),
    .valid_o(out[513]),
    .last_o(out[512]),
    .values_o(out[511:0])
  );
  syn_fold #(.Width(514)) u_fold (.clk_i, .data_i(out), .bit_o);
endmodule
