// SPDX-License-Identifier: Apache-2.0
// round_half - (neg_i ? -1 : 1) * size_i * 2^exponent_i as fp16 or bf16, halves to even.
//
// One for every decoder. Latency 5 cycles, one value a cycle, never stalls. Too large gives
// infinity, a size of 0 gives +0, what rounds to nothing keeps its sign.
`include "speckv_check.svh"

module round_half #(
    parameter int unsigned Width = 23
) (
    input  logic                    clk_i,
    input  logic                    neg_i,
    input  logic        [Width-1:0] size_i,
    input  logic signed [      8:0] exponent_i,
    input  logic                    bf16_i,
    output logic        [     15:0] half_o
);
  localparam int unsigned ZerosWidth = $clog2(Width);

  // 1: leading zeros, and the exponent field that the top bit would have.
  logic [ZerosWidth-1:0] zeros_d, zeros_1;
  logic [Width-1:0] size_1;
  logic signed [9:0] field_1;
  logic zero_1, neg_1, bf16_1;

  always_comb begin
    zeros_d = '0;
    for (int unsigned i = 0; i < Width; i++) if (size_i[i]) zeros_d = ZerosWidth'(Width - 1 - i);
  end
  always_ff @(posedge clk_i) begin
    zeros_1 <= zeros_d;
    zero_1 <= size_i == '0;
    size_1 <= size_i;
    field_1 <= 10'(exponent_i) + 10'(Width - 1) + (bf16_i ? 10'sd127 : 10'sd15);
    neg_1 <= neg_i;
    bf16_1 <= bf16_i;
  end

  // 2: the top bit to the top.
  logic [Width-1:0] size_2;
  logic signed [9:0] field_2;
  logic zero_2, neg_2, bf16_2;

  always_ff @(posedge clk_i) begin
    size_2 <= size_1 << zeros_1;
    field_2 <= field_1 - 10'(zeros_1);
    zero_2 <= zero_1;
    neg_2 <= neg_1;
    bf16_2 <= bf16_1;
  end

  // 3: how far below the smallest normal number; more than 15 leaves nothing but the sticky bit.
  logic [Width-1:0] size_3;
  logic [3:0] down_3;
  logic [7:0] base_3;
  logic gone_3, inf_3, zero_3, neg_3, bf16_3;
  logic signed [9:0] under;

  assign under = `MUT(10, 10'sd1, 10'sd0) - field_2;
  always_ff @(posedge clk_i) begin
    size_3 <= size_2;
    down_3 <= under > 0 ? under[3:0] : 4'd0;
    gone_3 <= under > 15;
    base_3 <= field_2 < 1 ? 8'd0 : 8'(field_2 - 10'sd1);
    inf_3 <= field_2 >= (bf16_2 ? 10'sd255 : `MUT(11, 10'sd31, 10'sd32));
    zero_3 <= zero_2;
    neg_3 <= neg_2;
    bf16_3 <= bf16_2;
  end

  // 4: down to 12 bits, what falls out into a sticky bit. fp16 keeps 11 and a guard, bf16 8.
  logic [11:0] kept_4;
  logic [ 7:0] base_4;
  logic sticky_4, inf_4, zero_4, neg_4, bf16_4;
  logic [Width+14:0] wide;

  assign wide = {size_3, 15'd0} >> down_3;
  always_ff @(posedge clk_i) begin
    kept_4 <= gone_3 ? 12'd0 : wide[Width+14-:12];
    sticky_4 <= `MUT(12, |wide[Width+2:0], |wide[Width+2:1]) || (gone_3 && |size_3);
    base_4 <= base_3;
    inf_4 <= inf_3;
    zero_4 <= zero_3;
    neg_4 <= neg_3;
    bf16_4 <= bf16_3;
  end

  // 5: round; a carry runs into the exponent field, and up to infinity.
  logic up_fp16, up_bf16;
  logic [14:0] packed_half;

  assign up_fp16 = kept_4[0] && `MUT(13, sticky_4 || kept_4[1], 1'b1);
  assign up_bf16 = kept_4[3] && (sticky_4 || |kept_4[2:0] || `MUT(14, kept_4[4], 1'b0));
  assign packed_half = bf16_4 ? {base_4, 7'd0} + 15'(kept_4[11:4]) +
      15'(up_bf16) : {base_4[4:0], 10'd0} + 15'(kept_4[11:1]) + 15'(up_fp16);
  always_ff @(posedge clk_i) begin
    if (zero_4) half_o <= {`MUT(15, 1'b0, neg_4), 15'd0};
    else half_o <= {neg_4, inf_4 ? (bf16_4 ? 15'h7f80 : 15'h7c00) : packed_half};
  end
endmodule
