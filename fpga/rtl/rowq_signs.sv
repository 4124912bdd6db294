// SPDX-License-Identifier: Apache-2.0
// rowq_signs - which values of a quarter row change their sign.
//
// Half row number h of a page has the word (h + 1) * SignStep: it is counted up, never multiplied.
// No latency: flip_o belongs to the beat at the input. Beats of a page come in order, from quarter
// 0 of its first row.
`include "speckv_check.svh"

module rowq_signs
  import rowq_pkg::*;
(
    input  logic        clk_i,
    input  logic        valid_i,
    input  tag_t        tag_i,
    output logic [31:0] flip_o
);
  logic [63:0] word_q, word;

  assign word = tag_i.first && `MUT(27, 1'b1, 1'b0) ? SignStep : word_q;
  always_ff @(posedge clk_i) begin
    if (valid_i) word_q <= tag_i.quarter[0] ? word + SignStep : word;
  end
  always_comb begin
    if (tag_i.bits == 4'd8) flip_o = '0;
    else flip_o = tag_i.quarter[0] ? word[63:32] : word[31:0];
  end

  logic unused_tag;
  assign unused_tag = ^{tag_i.last, tag_i.bf16, tag_i.quarter[1]};
endmodule
