// SPDX-License-Identifier: Apache-2.0
// cut_rowq_encode_path - rowq_encode_path alone between a shift register and a fold, to be placed
// and timed.
module cut_rowq_encode_path (
    input  logic clk_i,
    input  logic bit_i,
    output logic bit_o
);
  logic [522:0] shift_q, in_q;
  logic [299:0] out;

  always_ff @(posedge clk_i) begin
    shift_q <= {shift_q[521:0], bit_i};
    in_q    <= shift_q;
  end
  rowq_encode_path u_cut (
    .clk_i,
    .rst_ni(in_q[0]),
    .valid_i(in_q[1]),
    .tag_i(in_q[2+:9]),
    .values_i(in_q[11+:512]),
    .valid_o(out[299]),
    .tag_o(out[298:290]),
    .side_o(out[289:258]),
    .codes_o(out[257:2]),
    .far_o(out[1]),
    .not_finite_o(out[0])
  );
  syn_fold #(.Width(300)) u_fold (.clk_i, .data_i(out), .bit_o);
endmodule
