// SPDX-License-Identifier: Apache-2.0
// cut_chanq_fit - chanq_fit alone between a shift register and a fold, to be placed and timed.
module cut_chanq_fit
  import chanq_pkg::*;
(
    input  logic clk_i,
    input  logic bit_i,
    output logic bit_o
);
  logic [31:0] shift_q, in_q;
  fit_t out;

  always_ff @(posedge clk_i) begin
    shift_q <= {shift_q[30:0], bit_i};
    in_q    <= shift_q;
  end
  chanq_fit u_cut (
    .clk_i,
    .low_i(in_q[15:0]),
    .high_i(in_q[31:16]),
    .fit_o(out)
  );
  syn_fold #(.Width($bits(fit_t))) u_fold (.clk_i, .data_i(out), .bit_o);
endmodule
