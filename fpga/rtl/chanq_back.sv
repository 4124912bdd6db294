// SPDX-License-Identifier: Apache-2.0
// chanq_back - raw values to fixed point under their page's exponent, turned back by their pair's
// angle: the datapath of chanq_encode's second pass.
//
// Requires: the beats of a token come in consecutive cycles (chanq_partner). Latency 12 cycles
// (2 to align, 7 to find partners, 2 to multiply, 1 to add), a beat a cycle, never stalls.
`include "speckv_check.svh"

module chanq_back
  import speckv_pkg::*;
  import chanq_pkg::*;
(
    input  logic                     clk_i,
    input  logic                     rst_ni,
    input  logic                     turn_write_i,
    input  logic   [      9:0]       turn_addr_i,
    input  beat_t                    turn_data_i,
    input  logic                     valid_i,
    input  tag_t                     tag_i,
    input  logic   [      7:0]       field_i,       // the page's largest exponent
    input  logic   [Lanes-1:0][15:0] values_i,
    output logic                     valid_o,
    output tag_t                     tag_o,
    output fixed_t [Lanes-1:0]       values_o
);
  localparam int unsigned Latency = 12;

  logic [Latency-1:0] valid_q;
  always_ff @(posedge clk_i) valid_q <= rst_ni ? {valid_q[Latency-2:0], valid_i} : '0;
  assign valid_o = valid_q[Latency-1];
  prim_delay #(
      .Width($bits(tag_t)),
      .Cycles(Latency)
  ) u_tag (
      .clk_i,
      .data_i(tag_i),
      .data_o(tag_o)
  );

  // 1: mantissas, and how far below the page's exponent each lies. 2: rounded, halves up.
  tag_t tag_1, tag_2, tag_asks;
  logic [Lanes-1:0][10:0] size_1;
  logic [Lanes-1:0][3:0] down_1;
  logic [Lanes-1:0] neg_1;
  logic [Lanes-1:0][14:0] fixed_2;

  always_ff @(posedge clk_i) begin
    tag_1 <= tag_i;
    tag_2 <= tag_1;
    for (int unsigned i = 0; i < Lanes; i++) begin
      logic [7:0] field, down;
      logic [14:0] size;
      field = tag_i.bf16 ? values_i[i][14:7] : {3'd0, values_i[i][14:10]};
      down = field_i - (field == '0 ? 8'd1 : field);
      size_1[i] <= tag_i.bf16 ?
          {field != '0, values_i[i][6:0], 3'd0} : {field != '0, values_i[i][9:0]};
      down_1[i] <= down > 8'd15 ? 4'd15 : down[3:0];
      neg_1[i] <= values_i[i][15];
      size = ({size_1[i], 4'd0} >> down_1[i]) + `MUT(142, 15'd1, 15'd0);
      fixed_2[i] <= neg_1[i] ? -(size >> 1) : size >> 1;
    end
  end

  // 3 .. 9: partners and turns.
  logic signed [Lanes-1:0][14:0] own, partner;
  logic [Lanes-1:0] second, second_q, second_11;
  logic signed [Lanes-1:0][15:0] cosines, sines;

  chanq_partner #(
      .Width(15)
  ) u_partner (
      .clk_i,
      .rst_ni,
      .tag_i(tag_2),
      .values_i(fixed_2),
      .tag_o(tag_asks),
      .own_o(own),
      .partner_o(partner),
      .second_o(second)
  );
  chanq_turns u_turns (
      .clk_i,
      .write_i(turn_write_i),
      .write_addr_i(turn_addr_i),
      .write_data_i(turn_data_i),
      .tag_i(tag_asks),
      .cosines_o(cosines),
      .sines_o(sines)
  );

  // 10, 11: products. 12: their sum.
  always_ff @(posedge clk_i) begin
    second_q <= second;
    second_11 <= second_q;
  end
  for (genvar i = 0; i < Lanes; i++) begin : gen_lane
    logic signed [35:0] along, across, sum;

    prim_mul18 u_along (
        .clk_i,
        .a_i({{3{own[i][14]}}, own[i]}),
        .b_i({{2{cosines[i][15]}}, cosines[i]}),
        .product_o(along)
    );
    prim_mul18 u_across (
        .clk_i,
        .a_i({{3{partner[i][14]}}, partner[i]}),
        .b_i({{2{sines[i][15]}}, sines[i]}),
        .product_o(across)
    );
    assign sum = along + (second_11[i] ?
        `MUT(141, -across, across)
        : across) +
        `MUT(140, 36'sd8192, 36'sd0);
    always_ff @(posedge clk_i) values_o[i] <= sum[29:14];

    logic unused_sum;
    assign unused_sum = ^{sum[35:30], sum[13:0]};
  end
endmodule
