// SPDX-License-Identifier: Apache-2.0
// cut_chanq_pair - one pair of chanq's second pass, from cells, reaches and anchors to two rounded
// values: chanq_value and chanq_rotate twice, between a shift register and a fold.
module cut_chanq_pair
  import chanq_pkg::*;
(
    input  logic clk_i,
    input  logic bit_i,
    output logic bit_o
);
  logic [89:0] shift_q, in_q;
  turned_t [Lanes-1:0] values;
  logic [1:0][15:0] halves;

  always_ff @(posedge clk_i) begin
    shift_q <= {shift_q[88:0], bit_i};
    in_q <= shift_q;
  end
  // The other lanes have no inputs, so nothing of them is left.
  chanq_value u_value (
      .clk_i,
      .middles_i({{(9 * Lanes - 18) {1'b0}}, in_q[17:0]}),
      .anchors_i({{(8 * Lanes - 16) {1'b0}}, in_q[33:18]}),
      .reaches_i({{(7 * Lanes - 14) {1'b0}}, in_q[47:34]}),
      .values_o(values)
  );
  for (genvar i = 0; i < 2; i++) begin : gen_rotate
    chanq_rotate u_rotate (
        .clk_i,
        .own_i(values[i]),
        .partner_i(values[1-i]),
        .cosine_i(in_q[63:48]),
        .sine_i(in_q[79:64]),
        .second_i(i == 1),
        .exponent_i(in_q[88:80]),
        .bf16_i(in_q[89]),
        .half_o(halves[i])
    );
  end
  syn_fold #(
      .Width(32)
  ) u_fold (
      .clk_i,
      .data_i(halves),
      .bit_o
  );
endmodule
