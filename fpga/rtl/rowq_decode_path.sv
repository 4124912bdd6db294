// SPDX-License-Identifier: Apache-2.0
// rowq_decode_path - a quarter row of codes to 32 values of the raw side: rowq's decoder without
// its memory.
//
// Latency 20 cycles: 7 to levels, 7 through the transform, 1 for signs, 5 to round. A beat a cycle,
// never stalls; the two beats of a block are neighbours (wht64). The tag comes out with its beat.
`include "speckv_check.svh"

module rowq_decode_path
  import rowq_pkg::*;
(
    input  logic                clk_i,
    input  logic                rst_ni,
    input  logic                valid_i,
    input  coded_t              coded_i,
    output logic                valid_o,
    output logic                last_o,
    output logic   [31:0][15:0] values_o
);
  logic levels_valid, sums_valid, signed_valid_q;
  tag_t levels_tag, sums_tag;
  logic signed [7:0] levels_exponent, sums_exponent, exponent_q;
  logic signed [31:0][16:0] levels;
  logic signed [31:0][22:0] sums;
  logic [31:0] flip, neg_q;
  logic [31:0][22:0] size_q;
  logic bf16_q, last_q;

  rowq_dequant u_dequant (
      .clk_i,
      .rst_ni,
      .valid_i,
      .coded_i,
      .valid_o(levels_valid),
      .tag_o(levels_tag),
      .exponent_o(levels_exponent),
      .products_o(levels)
  );

  wht64 #(
      .Width(17)
  ) u_transform (
      .clk_i,
      .rst_ni,
      .valid_i(levels_valid),
      .second_i(levels_tag.quarter[0]),
      .values_i(levels),
      .valid_o(sums_valid),
      .values_o(sums)
  );

  prim_delay #(
      .Width($bits(tag_t) + 8),
      .Cycles(7)
  ) u_beside (
      .clk_i,
      .data_i({levels_tag, levels_exponent}),
      .data_o({sums_tag, sums_exponent})
  );

  rowq_signs u_signs (
      .clk_i,
      .valid_i(sums_valid),
      .tag_i(sums_tag),
      .flip_o(flip)
  );

  always_ff @(posedge clk_i) begin
    signed_valid_q <= sums_valid && rst_ni;
    exponent_q <= sums_exponent;
    bf16_q <= sums_tag.bf16;
    last_q <= sums_tag.last;
    for (int unsigned i = 0; i < 32; i++) begin
      neg_q[i] <= sums[i][22] ^ flip[i];
      size_q[i] <= sums[i][22] ? -sums[i] : sums[i];
    end
  end

  for (genvar i = 0; i < 32; i++) begin : gen_round
    round_half #(
        .Width(23)
    ) u_round (
        .clk_i,
        .neg_i(neg_q[i]),
        .size_i(size_q[i]),
        .exponent_i(9'(exponent_q)),
        .bf16_i(bf16_q),
        .half_o(values_o[i])
    );
  end

  logic [4:0] valid_q, last_line_q;
  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni ? {valid_q[3:0], signed_valid_q} : '0;
    last_line_q <= {last_line_q[3:0], last_q};
  end
  assign valid_o = valid_q[4];
  assign last_o = last_line_q[4];
endmodule
