// SPDX-License-Identifier: Apache-2.0
// rowq_dequant - codes of a quarter row to levels times their width and scale, before the
// transform.
//
// The scale multiplies here and not after the transform: half a row is one block of 64, so in
// integers it is the same, and the product has 17 bits. Latency 7 cycles, a beat a cycle, never
// stalls. exponent_o is brought into -100 .. 64.
`include "speckv_check.svh"

module rowq_dequant
  import rowq_pkg::*;
(
    input  logic                     clk_i,
    input  logic                     rst_ni,
    input  logic                     valid_i,
    input  coded_t                   coded_i,
    output logic                     valid_o,
    output tag_t                     tag_o,
    output logic signed [ 7:0]       exponent_o,
    output logic signed [31:0][16:0] products_o
);
  logic [7:1] valid_q;

  always_ff @(posedge clk_i) valid_q <= rst_ni ? {valid_q[6:1], valid_i} : '0;

  // 1: codes. A quad's fourth lowest bit makes its parity even.
  tag_t tag_1;
  logic [31:0] side_1;
  logic [31:0][7:0] code_1;

  always_ff @(posedge clk_i) begin
    tag_1 <= coded_i.tag;
    side_1 <= coded_i.side;
    for (int unsigned i = 0; i < 32; i++) begin
      for (int unsigned p = 1; p < 8; p++) code_1[i][p] <= coded_i.planes[p][i];
      if (i % 4 != 3) code_1[i][0] <= coded_i.low[i/4*3+i%4];
      else code_1[i][0] <= `MUT(21, ^coded_i.low[i/4*3+:3], ^coded_i.low[i/4*3+:2]);
    end
  end

  // 2: what of the code's bits the later stages need, decoded once a beat into registers.
  tag_t tag_2;
  logic [31:0] side_2;
  logic unused_side;
  assign unused_side = ^side_2[27:24];
  logic [31:0][7:0] code_2;
  logic [7:0] middle_2;  // the first code above the middle
  logic [6:0] wider3_2, wider4_2;  // cells from these on are 3 and 4 wide
  logic [4:0] width_2;

  always_ff @(posedge clk_i) begin
    tag_2 <= tag_1;
    side_2 <= side_1;
    code_2 <= code_1;
    middle_2 <= 8'd1 << (tag_1.bits - 4'd1);
    wider3_2 <= tag_1.bits == 4'd8 ? 7'h7f : 7'd1 << (tag_1.bits - 4'd2);
    wider4_2 <= tag_1.bits == 4'd8 ? 7'h7f : 7'd3 << (tag_1.bits - `MUT(22, 4'd3, 4'd2));
    unique case (tag_1.bits)
      4'd3: width_2 <= side_1[5'd8+{1'd0, tag_1.quarter, 2'd0}+{3'd0, tag_1.quarter}+:5];
      4'd4: width_2 <= {1'd0, side_1[5'd8+{1'd0, tag_1.quarter, 2'd0}+:4]};
      4'd5: width_2 <= {2'd0, side_1[5'd8+{2'd0, tag_1.quarter, 1'd0}+{3'd0, tag_1.quarter}+:3]};
      default: width_2 <= {3'd0, side_1[5'd8+{2'd0, tag_1.quarter, 1'd0}+:2]};
    endcase
  end

  // 3: places from the middle, and how far they lie among the wider cells.
  tag_t tag_3;
  logic [7:0] exponent_3;
  logic [31:0][6:0] place_3;
  logic [31:0][5:0] add3_3, add4_3;
  logic [31:0] below_3;
  logic [8:0] width_3, scale_3;

  always_ff @(posedge clk_i) begin
    tag_3 <= tag_2;
    exponent_3 <= side_2[7:0];
    for (int unsigned i = 0; i < 32; i++) begin
      logic upper;
      logic [6:0] place;
      upper = |(code_2[i] & middle_2);
      place = 7'(upper ? code_2[i] : ~code_2[i]) & 7'(middle_2 - 8'd1);
      place_3[i] <= place;
      below_3[i] <= !upper;
      add3_3[i] <= place > wider3_2 ? 6'(place - wider3_2) : 6'd0;
      add4_3[i] <= place > wider4_2 ? 6'(place - wider4_2) : 6'd0;
    end
    width_3 <= tag_2.bits == 4'd8 ? 9'd1 : 9'(width_2) + `MUT(23, 9'd1, 9'd0);
    if (tag_2.bits == 4'd8) scale_3 <= 9'(tag_2.quarter[1] ? side_2[23:16] : side_2[15:8]) + 9'd1;
    else
      scale_3 <= 9'd8 >> (
      `MUT(24, tag_2.quarter[1], tag_2.quarter[0])
      ? side_2[31:30] : side_2[29:28]);
  end

  // 4: sizes of levels; the exponent in range.
  tag_t tag_4;
  logic [31:0][7:0] level_4;
  logic [31:0] below_4;
  logic [8:0] width_4, scale_4;
  logic signed [7:0] exponent_4;
  logic zero_4;

  always_ff @(posedge clk_i) begin
    tag_4 <= tag_3;
    below_4 <= below_3;
    width_4 <= width_3;
    scale_4 <= scale_3;
    zero_4 <= exponent_3 == ZeroRow && `MUT(25, 1'b1, 1'b0);
    if ($signed(exponent_3) > 8'sd64) exponent_4 <= `MUT(26, 8'sd64, 8'sd63);
    else if ($signed(exponent_3) < -8'sd100) exponent_4 <= -8'sd100;
    else exponent_4 <= exponent_3;
    for (int unsigned i = 0; i < 32; i++)
    level_4[i] <= {place_3[i], 1'b1} + 8'(add3_3[i]) + 8'(add4_3[i]);
  end

  // 5: signed levels, and width times scale: one of the two is a power of two.
  tag_t tag_5;
  logic [31:0][8:0] level_5;
  logic [8:0] factor_5;
  logic signed [7:0] exponent_5;

  always_ff @(posedge clk_i) begin
    tag_5 <= tag_4;
    exponent_5 <= exponent_4;
    for (int unsigned i = 0; i < 32; i++)
    level_5[i] <= below_4[i] ? -9'(level_4[i]) : 9'(level_4[i]);
    if (zero_4) factor_5 <= '0;
    else if (tag_4.bits == 4'd8) factor_5 <= scale_4;
    else if (scale_4[3]) factor_5 <= width_4 << 3;
    else if (scale_4[2]) factor_5 <= width_4 << 2;
    else if (scale_4[1]) factor_5 <= width_4 << 1;
    else factor_5 <= width_4;
  end

  // 6, 7: the product.
  for (genvar i = 0; i < 32; i++) begin : gen_product
    logic signed [35:0] product;
    prim_mul18 u_mul (
        .clk_i,
        .a_i({{9{level_5[i][8]}}, level_5[i]}),
        .b_i({9'd0, factor_5}),
        .product_o(product)
    );
    assign products_o[i] = product[16:0];
    logic unused_product;
    assign unused_product = ^product[35:17];
  end
  prim_delay #(
      .Width($bits(tag_t) + 8),
      .Cycles(2)
  ) u_beside (
      .clk_i,
      .data_i({tag_5, exponent_5}),
      .data_o({tag_o, exponent_o})
  );
  assign valid_o = valid_q[7];
endmodule
