// SPDX-License-Identifier: Apache-2.0
// chanq_turn - turns every channel with its partner by its pair's angle and rounds: the end of
// chanq's second pass.
//
// Requires: the beats of a token come in consecutive cycles (chanq_partner). Latency 17 cycles (7
// to find partners, 2 to multiply, 3 to add, 5 to round), a beat a cycle, never stalls.
`include "speckv_check.svh"

module chanq_turn
  import speckv_pkg::*;
  import chanq_pkg::*;
(
    input  logic                      clk_i,
    input  logic                      rst_ni,
    input  logic                      turn_write_i,
    input  logic    [      9:0]       turn_addr_i,
    input  beat_t                     turn_data_i,
    input  logic                      valid_i,
    input  tag_t                      tag_i,
    input  logic    [      7:0]       field_i,
    input  turned_t [Lanes-1:0]       values_i,
    output logic                      valid_o,
    output logic                      last_o,
    output logic    [Lanes-1:0][15:0] values_o
);
  localparam int unsigned Latency = 17;
  localparam int unsigned SizeBits = 26;

  // ---- beside ----
  logic [Latency-1:0] valid_q, last_q;
  tag_t tag_asks;
  logic signed [8:0] exponent, exponent_sized;
  logic bf16_sized;

  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni ? {valid_q[Latency-2:0], valid_i} : '0;
    last_q <= {last_q[Latency-2:0], tag_i.last};
  end
  assign valid_o = valid_q[Latency-1];
  assign last_o = last_q[Latency-1];

  assign exponent = $signed({1'b0, field_i}) - (tag_i.bf16 ? 9'sd142 : 9'sd30);
  prim_delay #(
      .Width(10),
      .Cycles(Latency - 5)
  ) u_exponent (
      .clk_i,
      .data_i({tag_i.bf16, exponent}),
      .data_o({bf16_sized, exponent_sized})
  );

  // ---- turns, three cycles later beside the swapped lanes ----
  logic signed [Lanes-1:0][15:0] cosines, sines;

  chanq_turns u_turns (
      .clk_i,
      .write_i(turn_write_i),
      .write_addr_i(turn_addr_i),
      .write_data_i(turn_data_i),
      .tag_i(tag_asks),
      .cosines_o(cosines),
      .sines_o(sines)
  );

  // ---- 1 .. 7: own values and their partners' ----
  turned_t [Lanes-1:0] own_2, partner_2;
  logic [Lanes-1:0] second_2;

  chanq_partner #(
      .Width($bits(turned_t))
  ) u_partner (
      .clk_i,
      .rst_ni,
      .tag_i,
      .values_i(values_i),
      .tag_o(tag_asks),
      .own_o(own_2),
      .partner_o(partner_2),
      .second_o(second_2)
  );

  // ---- 8, 9: products, the value in two parts; 10: parts together; 11: sum; 12: size ----
  logic [Lanes-1:0] second_4, second_5;

  prim_delay #(
      .Width(Lanes),
      .Cycles(2)
  ) u_second (
      .clk_i,
      .data_i(second_2),
      .data_o(second_4)
  );
  always_ff @(posedge clk_i) second_5 <= second_4;

  for (genvar i = 0; i < Lanes; i++) begin : gen_lane
    logic signed [1:0][23:0] value;
    logic signed [1:0][15:0] factor;
    logic signed [1:0][39:0] product;
    logic signed [40:0] sum;
    logic signed [SizeBits:0] turned;
    logic neg;
    logic [SizeBits-1:0] size;

    assign value = {partner_2[i], own_2[i]};
    assign factor = {sines[i], cosines[i]};
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
      if (second_5[i]) sum <= 41'($signed(product[0])) + 41'($signed(product[1])) + 41'sd8192;
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
        .exponent_i(exponent_sized),
        .bf16_i(bf16_sized),
        .half_o(values_o[i])
    );

    logic unused_sum;
    assign unused_sum = ^sum[13:0];
  end

  `SPECKV_ASSERT(ChanqTurnRopeKnown, !valid_i || rope_known(tag_i.rope))
endmodule
