// SPDX-License-Identifier: Apache-2.0
// rowq_quantise - transformed values of a quarter row to codes, the parity of each quad made even.
//
// Latency 13 cycles, a beat a cycle, never stalls. A place is a distance from the middle in 1/128
// cells, the least of three lines (cells of 2, 3 and 4 half cells); the quad's code that loses
// least moves by one where the lowest bits are odd.
`include "speckv_check.svh"

module rowq_quantise
  import rowq_pkg::*;
(
    input  logic                clk_i,
    input  logic                rst_ni,
    input  logic                valid_i,
    input  tag_t                tag_i,
    input  group_t              group_i,
    input  logic   [31:0]       neg_i,
    input  logic   [31:0][14:0] size_i,
    output logic                valid_o,
    output tag_t                tag_o,
    output logic   [31:0]       side_o,
    output logic   [31:0][ 7:0] codes_o
);
  logic [12:0] valid_q;
  logic [3:0] bits[13];
  logic [31:0] neg[11];
  logic zero_11;

  // What travels beside: code bits and signs by stage, 0 .. 12.
  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni ? {valid_q[11:0], valid_i} : '0;
    bits[0] <= tag_i.bits;
    for (int unsigned i = 1; i < 13; i++) bits[i] <= bits[i-1];
    neg[0] <= neg_i;
    for (int unsigned i = 1; i < 11; i++) neg[i] <= neg[i-1];
  end
  prim_delay #(
      .Width($bits(tag_t) + 32),
      .Cycles(13)
  ) u_beside (
      .clk_i,
      .data_i({tag_i, group_i.side}),
      .data_o({tag_o, side_o})
  );
  prim_delay #(
      .Width(1),
      .Cycles(12)
  ) u_zero (
      .clk_i,
      .data_i(group_i.zero),
      .data_o(zero_11)
  );

  // 0: shifted. 1: signed with 8 bits. 2, 3: times the group's reciprocal.
  logic [31:0][15:0] shifted_0;
  logic [31:0][16:0] signed_1;
  logic [15:0] reciprocal_0, reciprocal_1;
  logic [31:0][16:0] product_3;

  always_ff @(posedge clk_i) begin
    reciprocal_0 <= group_i.reciprocal;
    reciprocal_1 <= reciprocal_0;
    for (int unsigned i = 0; i < 32; i++) begin
      shifted_0[i] <= 16'({1'b0, size_i[i]} << group_i.shift);
      signed_1[i] <= bits[0] == 4'd8 && neg[0][i] ? -17'(shifted_0[i]) : 17'(shifted_0[i]);
    end
  end
  for (genvar i = 0; i < 32; i++) begin : gen_product
    logic signed [35:0] product;
    prim_mul18 u_mul (
        .clk_i,
        .a_i({signed_1[i][16], signed_1[i]}),
        .b_i({2'd0, reciprocal_1}),
        .product_o(product)
    );
    assign product_3[i] = product[32:16];
    logic unused_product;
    assign unused_product = ^{product[35:33], product[15:0]};
  end

  // 4 .. 6: times 21845 = 5 * 17 * 257, two thirds of 2^15. 7: the lines. 8: the lesser of two.
  logic [31:0][16:0] place_4, place_5, place_6, place_7, place_8;
  logic [31:0][18:0] five_4;
  logic [31:0][22:0] seventeen_5;
  logic [31:0][30:0] third_6;
  logic [31:0][15:0] line3_7, line4_7, least_8;
  logic [13:0] add3_6, add4_6;

  always_ff @(posedge clk_i) begin
    unique case (bits[5])
      4'd3: add3_6 <= 14'd107;
      4'd4: add3_6 <= 14'd192;
      4'd5: add3_6 <= 14'd363;
      default: add3_6 <= `MUT(65, 14'd704, 14'd703);
    endcase
    unique case (bits[5])
      4'd3: add4_6 <= 14'd192;
      4'd4: add4_6 <= 14'd352;
      4'd5: add4_6 <= 14'd672;
      default: add4_6 <= 14'd1312;
    endcase
    place_4 <= product_3;
    place_5 <= place_4;
    place_6 <= place_5;
    place_7 <= place_6;
    place_8 <= place_7;
    for (int unsigned i = 0; i < 32; i++) begin
      five_4[i] <= 19'(product_3[i]) + {product_3[i], 2'd0};
      seventeen_5[i] <= 23'(five_4[i]) + {five_4[i], 4'd0};
      third_6[i] <= 31'(seventeen_5[i]) + {seventeen_5[i], 8'd0};
      line3_7[i] <= 16'(third_6[i] >> 15) + 16'(add3_6);
      line4_7[i] <= 16'((place_6[i] + `MUT(66, 17'd1, 17'd0)) >> 1) + 16'(add4_6);
      least_8[i] <= line3_7[i] < line4_7[i] ? line3_7[i] : line4_7[i];
    end
  end

  // 9: in 1/128 cells from the lowest code's lower edge.
  logic [31:0][15:0] fine_9;
  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < 32; i++) begin
      logic [15:0] place;
      place = 16'(place_8[i]) < least_8[i] ? 16'(place_8[i]) : least_8[i];
      if (bits[8] == 4'd8) fine_9[i] <= {place_8[i][14:0], 1'b1} + 16'h4000;
      else fine_9[i] <= (16'd64 << bits[8]) + (neg[8][i] ? ~place : place);
    end
  end

  // 10: codes, which way each would move, and what that loses.
  logic [31:0][7:0] code_10, code_11;
  logic [31:0] up_10, up_11;
  logic [31:0][5:0] loss_10;
  logic [7:0] middle_9;
  logic [6:0] wider3_9, wider4_9;

  always_ff @(posedge clk_i) begin
    middle_9 <= 8'd1 << (bits[8] - 4'd1);
    wider3_9 <= 7'd1 << (bits[8] - 4'd2);
    wider4_9 <= 7'd3 << (bits[8] - 4'd3);
    for (int unsigned i = 0; i < 32; i++) begin
      logic [7:0] code;
      logic [6:0] place;
      logic [5:0] away;
      logic [5:0] loss;
      logic up;
      code = fine_9[i][14:7];
      up = fine_9[i][6];
      away = up ? ~fine_9[i][5:0] : fine_9[i][5:0];
      place = 7'(|(code & middle_9) ? code : ~code) & 7'(middle_9 - 8'd1);
      loss = away;
      if (bits[9] != 4'd8)
        loss = 6'(away[5:1]) + (place >= wider3_9 ? 6'(away[5:2]) : 6'd0) +
            (place >= wider4_9 ? 6'(away[5:2]) : 6'd0);
      // A step out of the codes turns round.
      if (up ? code == 8'({middle_9, 1'b0} - 9'd1) : code == '0) begin
        up = !up;
        loss = `MUT(67, 6'd63, 6'd0);
      end
      code_10[i] <= code;
      up_10[i] <= up;
      loss_10[i] <= loss;
    end
  end

  // 11: the code of each quad that loses least, the first of equals. 12: it moves.
  logic [7:0] odd_11;
  logic [7:0][1:0] best_11;
  always_ff @(posedge clk_i) begin
    code_11 <= code_10;
    up_11 <= up_10;
    for (int unsigned q = 0; q < 8; q++) begin
      logic second, fourth;
      odd_11[q] <= code_10[4*q][0] ^ code_10[4*q+1][0] ^ code_10[4*q+2][0] ^ code_10[4*q+3][0];
      second = loss_10[4*q+1] < loss_10[4*q];
      fourth = `MUT(68, loss_10[4*q+3] < loss_10[4*q+2], loss_10[4*q+3] <= loss_10[4*q+2]);
      best_11[q] <= (fourth ? loss_10[4*q+3] : loss_10[4*q+2]) <
          (second ? loss_10[4*q+1] : loss_10[4*q]) ? {1'b1, fourth} : {1'b0, second};
    end
    for (int unsigned i = 0; i < 32; i++) begin
      codes_o[i] <= code_11[i];
      if (odd_11[i/4] && best_11[i/4] == 2'(i % 4))
        codes_o[i] <= up_11[i] ? code_11[i] + 8'd1 : code_11[i] - 8'd1;
      if (zero_11) codes_o[i] <= '0;
    end
  end
  assign valid_o = valid_q[12];

  logic unused_beside;
  assign unused_beside = ^{bits[12], bits[11], bits[10], neg[10], neg[9]};
endmodule
