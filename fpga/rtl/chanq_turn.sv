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
    chanq_rotate u_rotate (
        .clk_i,
        .own_i(own_2[i]),
        .partner_i(partner_2[i]),
        .cosine_i(cosines[i]),
        .sine_i(sines[i]),
        .second_i(second_5[i]),
        .exponent_i(exponent_sized),
        .bf16_i(bf16_sized),
        .half_o(values_o[i])
    );
  end

  `SPECKV_ASSERT(ChanqTurnRopeKnown, !valid_i || rope_known(tag_i.rope))
endmodule
