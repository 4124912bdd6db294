// SPDX-License-Identifier: Apache-2.0
// chanq_quantise - steps of 32 values to codes, and to what is stored beside them: drop and anchor.
//
// A step is 32 tokens of one channel, or 16 of two. docs/codec.md, section 5, "Encode", step 5:
// drop, the reach that it gives, the anchor in that octave (7 cycles, beside them the values come
// out of chanq_rows), distance from it, times a reciprocal, shifted, clamped. Codes are of 8 bits;
// a channel's planes are the highest ones. Latency 12 cycles, a step a cycle, never stalls.
`include "speckv_check.svh"

module chanq_quantise
  import speckv_pkg::*;
  import chanq_pkg::*;
(
    input  logic                    clk_i,
    input  logic                    rst_ni,
    input  logic                    valid_i,
    input  quant_t                  step_i,
    // Of the pair of channels, 2 cycles after the step.
    input  fit_t   [      1:0]      fits_i,
    // For chanq_rows, whose values come 7 cycles after the step.
    output quant_t                  ask_o,
    input  fixed_t [Lanes-1:0]      values_i,
    output logic                    valid_o,
    output quant_t                  step_o,
    output side_t  [      1:0]      sides_o,   // of the step's channels
    output logic   [Lanes-1:0][7:0] codes_o
);
  localparam int unsigned Latency = 12;

  logic [Latency-1:0] valid_q;
  always_ff @(posedge clk_i) valid_q <= rst_ni ? {valid_q[Latency-2:0], valid_i} : '0;
  assign valid_o = valid_q[Latency-1];

  quant_t step_2, step_3, step_4;
  prim_delay #(
      .Width($bits(quant_t)),
      .Cycles(2)
  ) u_step_2 (
      .clk_i,
      .data_i(step_i),
      .data_o(step_2)
  );
  always_ff @(posedge clk_i) begin
    step_3 <= step_2;
    step_4 <= step_3;
  end
  prim_delay #(
      .Width($bits(quant_t)),
      .Cycles(Latency - 4)
  ) u_step (
      .clk_i,
      .data_i(step_4),
      .data_o(step_o)
  );
  assign ask_o = step_4;

  // ---- two channels' sides: 3: drop; 4: reach; 5: octave; 6, 7: anchor ----
  fixed_t [1:0] anchor_7;
  logic [1:0][12:0] reciprocal_8;
  logic [1:0][3:0] octave_10;

  for (genvar s = 0; s < 2; s++) begin : gen_side
    fit_t fit_2, fit_3, fit_4, fit_5;
    logic [4:0] drop_3, drop_4, drop_7;
    logic [6:0] reach_4, below, anchor_code_7;
    logic [3:0] octave_5, octave_6, place_5, place_6, width_7;
    logic [2:0] eighth_5, eighth_7;
    logic [15:0] sum_6;
    logic neg_6;

    logic which;
    assign which = step_2.tokens == 2'd0 ? 1'(s) : step_2.channel[0];
    assign fit_2 = fits_i[which];
    assign below = (step_2.top - fit_2.wanted) >> step_2.grain;
    always_ff @(posedge clk_i) begin
      logic [15:0] size;
      drop_3 <= below > 7'd31 ? 5'd31 : below[4:0];
      fit_3 <= fit_2;
      reach_4 <= step_3.top - 7'({2'd0, drop_3} << step_3.grain);
      drop_4 <= drop_3;
      fit_4 <= fit_3;
      octave_5 <= reach_4[6:3];
      eighth_5 <= reach_4[2:0];
      place_5 <= reach_4[6:3] > fit_4.place ? reach_4[6:3] : fit_4.place;
      fit_5 <= fit_4;
      sum_6 <= anchor_sum(fit_5.size, place_5);
      neg_6 <= fit_5.neg;
      octave_6 <= octave_5;
      place_6 <= place_5;
      size = anchor_size(sum_6, place_6);
      anchor_7[s] <= neg_6 ? -size : size;
      anchor_code_7 <= anchor_code(sum_6, place_6, octave_6);
    end
    prim_delay #(
        .Width(3),
        .Cycles(2)
    ) u_eighth (
        .clk_i,
        .data_i(eighth_5),
        .data_o(eighth_7)
    );
    always_ff @(posedge clk_i) begin
      unique case (eighth_7)
        3'd0: reciprocal_8[s] <= 13'd4096;
        3'd1: reciprocal_8[s] <= 13'd3641;
        3'd2: reciprocal_8[s] <= 13'd3277;
        3'd3: reciprocal_8[s] <= 13'd2979;
        3'd4: reciprocal_8[s] <= 13'd2731;
        3'd5: reciprocal_8[s] <= `MUT(149, 13'd2521, 13'd2520);
        3'd6: reciprocal_8[s] <= 13'd2341;
        default: reciprocal_8[s] <= 13'd2185;
      endcase
    end
    prim_delay #(
        .Width(4),
        .Cycles(4)
    ) u_octave (
        .clk_i,
        .data_i(octave_6),
        .data_o(octave_10[s])
    );
    prim_delay #(
        .Width(9),
        .Cycles(3)
    ) u_side (
        .clk_i,
        .data_i({fit_4.width, drop_4}),
        .data_o({width_7, drop_7})
    );
    logic neg_7;
    logic unused_fit;
    assign unused_fit = ^fit_5;
    always_ff @(posedge clk_i) neg_7 <= neg_6;
    prim_delay #(
        .Width($bits(side_t)),
        .Cycles(Latency - 7)
    ) u_out (
        .clk_i,
        .data_i({width_7, drop_7, neg_7, anchor_code_7}),
        .data_o(sides_o[s])
    );
  end

  // ---- values: 8: distance; 9, 10: product; 11: cells of 8 bits; 12: clamped ----
  for (genvar i = 0; i < Lanes; i++) begin : gen_lane
    localparam int unsigned Upper = i / 16;
    logic side;
    logic signed [16:0] distance_8;
    logic signed [35:0] product;
    logic signed [30:0] cell_11;

    // Beyond the first 16: the second of two channels. Where there is one, both sides are its.
    assign side = 1'(Upper);
    always_ff @(posedge clk_i) begin
      distance_8 <= 17'(values_i[i]) - 17'(anchor_7[side]);
      cell_11 <= 31'(product >>> (6'd5 + 6'(octave_10[side])));
      if (cell_11 < -31'sd128) codes_o[i] <= 8'd0;
      else if (cell_11 > 31'sd127) codes_o[i] <= `MUT(148, 8'd255, 8'(cell_11) + 8'd128);
      else codes_o[i] <= 8'(cell_11) + 8'd128;
    end
    prim_mul18 u_mul (
        .clk_i,
        .a_i({distance_8[16], distance_8}),
        .b_i({5'd0, reciprocal_8[side]}),
        .product_o(product)
    );
  end
endmodule
