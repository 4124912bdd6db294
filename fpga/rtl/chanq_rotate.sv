// SPDX-License-Identifier: Apache-2.0
// chanq_rotate - one channel of chanq turned with its partner's value by its pair's angle, and
// rounded to a value of the raw side.
//
// Values have 24 bits, so each is multiplied in two parts. Latency 10 cycles (2 to multiply, 3 to
// add, 5 to round), one value a cycle, never stalls. second_i belongs to the value of 3 cycles
// before, exponent_i and bf16_i to that of 5 before.
`include "speckv_check.svh"

module chanq_rotate
  import chanq_pkg::*;
(
    input  logic               clk_i,
    input  turned_t            own_i,
    input  turned_t            partner_i,
    input  logic signed [15:0] cosine_i,
    input  logic signed [15:0] sine_i,
    input  logic               second_i,    // of its pair
    input  logic signed [ 8:0] exponent_i,
    input  logic               bf16_i,
    output logic        [15:0] half_o
);
  localparam int unsigned SizeBits = 26;

  // 1, 2: products, the value in two parts; 3: parts together; 4: sum; 5: size.
  logic signed [1:0][23:0] value;
  logic signed [1:0][15:0] factor;
  logic signed [1:0][39:0] product;
  logic signed [40:0] sum;
  logic signed [SizeBits:0] turned;
  logic neg;
  logic [SizeBits-1:0] size;

  assign value = {partner_i, own_i};
  assign factor = {sine_i, cosine_i};
  for (genvar j = 0; j < 2; j++) begin : gen_part
    logic signed [35:0] low, high;
    prim_mul18 u_low (
        .clk_i,
        .a_i({1'b0, value[j][16:0]}),
        .b_i({{2{factor[j][15]}}, factor[j]}),
        .product_o(low)
    );
    prim_mul18 u_high (
        .clk_i,
        .a_i({{11{value[j][23]}}, value[j][23:17]}),
        .b_i({{2{factor[j][15]}}, factor[j]}),
        .product_o(high)
    );
    always_ff @(posedge clk_i) product[j] <= 40'(low) + {high[22:0], 17'd0};

    logic unused_high;
    assign unused_high = ^high[35:23];
  end
  always_ff @(posedge clk_i) begin
    if (second_i) sum <= 41'($signed(product[0])) + 41'($signed(product[1])) + 41'sd8192;
    else sum <= 41'($signed(product[0])) - 41'($signed(product[1])) + `MUT(87, 41'sd8192, 41'sd0);
  end
  assign turned = sum[40:14];
  always_ff @(posedge clk_i) begin
    neg <= turned[SizeBits];
    size <= SizeBits'(turned[SizeBits] ? -turned : turned);
  end
  round_half #(
      .Width(SizeBits)
  ) u_round (
      .clk_i,
      .neg_i(neg),
      .size_i(size),
      .exponent_i(exponent_i),
      .bf16_i(bf16_i),
      .half_o
  );

  logic unused_sum;
  assign unused_sum = ^sum[13:0];
endmodule
