// SPDX-License-Identifier: Apache-2.0
// q8_scale - raw values of one beat to q8's scale byte and 32 codes: the encoder without its
// memory.
//
// A beat is a group. Its largest value's leading bits give the scale: of 127 * (8 + m) * 2^k the
// smallest that reaches it. Then each value times a reciprocal, shifted, halves to even. Latency
// 10 cycles, a beat a cycle, never stalls. far_o, not_finite_o: the beat's page is refused.
`include "speckv_check.svh"

module q8_scale
  import speckv_pkg::*;
(
    input  logic              clk_i,
    input  logic              rst_ni,
    input  logic              bf16_i,
    input  logic [31:0][15:0] values_i,
    output logic [ 7:0]       scale_o,
    output logic [31:0][ 7:0] codes_o,
    output logic              far_o,
    output logic              not_finite_o
);
  function automatic logic [14:0] larger(input logic [14:0] a, input logic [14:0] b);
    return a > b ? a : b;
  endfunction
  function automatic logic [7:0] field_of(input logic [7:0] top, input logic bf16);
    return bf16 ? top : {3'd0, top[7:3]};
  endfunction
  // Subnormal numbers have the smallest exponent and no leading one.
  function automatic logic [7:0] exponent_of(input logic [7:0] field);
    return field == '0 ? 8'd1 : field;
  endfunction
  function automatic logic [10:0] mantissa_of(input logic [14:0] size, input logic bf16);
    return bf16 ? {3'd0, size[14:7] != '0, size[6:0]} : {size[14:10] != '0, size[9:0]};
  endfunction

  // 1 .. 3: the largest.
  logic [7:0][14:0] top_1;
  logic [1:0][14:0] top_2;
  logic [14:0] top_3;
  logic bf16_3, bf16_5;

  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < 8; i++)
    top_1[i] <= larger(
        larger(
            values_i[4*i][14:0], values_i[4*i+1][14:0]
        ),
        larger(
            values_i[4*i+2][14:0], values_i[4*i+3][14:0])
    );
    for (int unsigned i = 0; i < 2; i++)
    top_2[i] <= larger(larger(top_1[4*i], top_1[4*i+1]), larger(top_1[4*i+2], top_1[4*i+3]));
    top_3 <= larger(top_2[0], top_2[1]);
  end
  prim_delay #(
      .Width(1),
      .Cycles(3)
  ) u_bf16_3 (
      .clk_i,
      .data_i(bf16_i),
      .data_o(bf16_3)
  );
  prim_delay #(
      .Width(1),
      .Cycles(2)
  ) u_bf16_5 (
      .clk_i,
      .data_i(bf16_3),
      .data_o(bf16_5)
  );

  // 4: its mantissa with the top bit at the top, 1024 .. 2047; octaves above scale byte 0's.
  logic [10:0] mantissa_3, top_4;
  logic [3:0] zeros_3;
  logic signed [9:0] octave_4;
  logic far_4, inf_4, zero_4;

  assign mantissa_3 = mantissa_of(top_3, bf16_3);
  always_comb begin
    zeros_3 = '0;
    for (int unsigned i = 0; i < 11; i++) if (mantissa_3[i]) zeros_3 = 4'(10 - i);
  end
  always_ff @(posedge clk_i) begin
    top_4 <= mantissa_3 << zeros_3;
    zero_4 <= mantissa_3 == '0;
    octave_4 <= 10'(exponent_of(
        field_of(top_3[14:7], bf16_3)
    )) - 10'(zeros_3) - (bf16_3 ? 10'sd112 : 10'sd1);
    far_4 <= top_3 > (bf16_3 ? 15'h496e : `MUT(120, 15'h77ff, 15'h7800));
    inf_4 <= top_3 >= (bf16_3 ? 15'h7f80 : 15'h7c00);
  end

  // 5: the smallest step, a multiple of 127, that reaches it.
  logic [3:0] steps_4;  // of an eighth octave, 1 .. 9: 8 and 9 lie in the next octave
  logic signed [9:0] octave_5;
  logic [2:0] step_5;
  logic far_5, inf_5, low_5;

  always_comb begin
    steps_4 = 4'd1;
    for (int unsigned m = 1; m < 8; m++) if (top_4 > 11'(127 * (8 + m))) steps_4 = 4'(m + 1);
    if (top_4 > `MUT(121, 11'd2032, 11'd2047)) steps_4 = 4'd9;
  end
  always_ff @(posedge clk_i) begin
    step_5 <= steps_4 == 4'd9 ? 3'd1 : steps_4[2:0];
    octave_5 <= octave_4 + (steps_4[3] ? 10'sd1 : 10'sd0);
    low_5 <= zero_4 || octave_4 + (steps_4[3] ? 10'sd1 : 10'sd0) < 0;
    far_5 <= far_4;
    inf_5 <= inf_4;
  end

  // 6: the scale byte; mantissas, and by how much each product shifts.
  logic [31:0][15:0] values_5;
  logic [7:0] scale_5, scale_6;
  logic [11:0] reciprocal_6;
  logic [31:0][10:0] mantissa_6;
  logic [31:0][4:0] down_6, down_8;
  logic [31:0] neg_6, neg_9;

  prim_delay_ram #(
      .Width(512),
      .Cycles(5)
  ) u_values (
      .clk_i,
      .rst_ni,
      .data_i(values_i),
      .data_o(values_5)
  );
  assign scale_5 = low_5 ? 8'd0 : {octave_5[4:0], step_5};
  always_ff @(posedge clk_i) begin
    scale_6 <= scale_5;
    unique case (scale_5[2:0])
      3'd0: reciprocal_6 <= 12'd0;  // 4096
      3'd1: reciprocal_6 <= 12'd3641;
      3'd2: reciprocal_6 <= 12'd3277;
      3'd3: reciprocal_6 <= 12'd2979;
      3'd4: reciprocal_6 <= 12'd2731;
      3'd5: reciprocal_6 <= `MUT(122, 12'd2521, 12'd2520);
      3'd6: reciprocal_6 <= 12'd2341;
      default: reciprocal_6 <= 12'd2185;
    endcase
    for (int unsigned i = 0; i < 32; i++) begin
      logic signed [9:0] down;
      down = 10'(scale_5[7:3]) + (bf16_5 ? 10'sd127 : 10'sd16) -
          10'(exponent_of(field_of(values_5[i][14:7], bf16_5)));
      mantissa_6[i] <= mantissa_of(values_5[i][14:0], bf16_5);
      down_6[i] <= down > 10'sd24 ? 5'd24 : 5'(down);
      neg_6[i] <= values_5[i][15];
    end
  end

  // 7, 8: products. 9: shifted, and what falls out. 10: rounded, with its sign.
  prim_delay #(
      .Width(32 * 5),
      .Cycles(2)
  ) u_down (
      .clk_i,
      .data_i(down_6),
      .data_o(down_8)
  );
  prim_delay #(
      .Width(32),
      .Cycles(3)
  ) u_neg (
      .clk_i,
      .data_i(neg_6),
      .data_o(neg_9)
  );
  for (genvar i = 0; i < 32; i++) begin : gen_lane
    logic signed [35:0] product;
    logic [47:0] wide;
    logic [7:0] kept_9, rounded;
    logic half_9, sticky_9;

    prim_mul18 u_mul (
        .clk_i,
        .a_i({7'd0, mantissa_6[i]}),
        .b_i({5'd0, reciprocal_6 == '0, reciprocal_6}),
        .product_o(product)
    );
    assign wide = {product[23:0], 24'd0} >> down_8[i];
    assign rounded = kept_9 + 8'(half_9 && (sticky_9 || `MUT(123, kept_9[0], 1'b1)));
    always_ff @(posedge clk_i) begin
      kept_9 <= wide[31:24];
      half_9 <= wide[23];
      sticky_9 <= |wide[22:0];
      codes_o[i] <= neg_9[i] ? -rounded : rounded;
    end
    logic unused_product;
    assign unused_product = ^{product[35:24], wide[47:32]};
  end
  prim_delay #(
      .Width(8),
      .Cycles(4)
  ) u_scale (
      .clk_i,
      .data_i(scale_6),
      .data_o(scale_o)
  );
  prim_delay #(
      .Width(2),
      .Cycles(5)
  ) u_refusal (
      .clk_i,
      .data_i({far_5, inf_5}),
      .data_o({far_o, not_finite_o})
  );

  logic unused_octave;
  assign unused_octave = ^octave_5[9:5];
endmodule
