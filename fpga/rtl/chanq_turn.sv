// SPDX-License-Identifier: Apache-2.0
// chanq_turn - turns every channel with its partner by its pair's angle and rounds: the end of
// chanq's second pass.
//
// A beat has 32 neighbouring channels. Partners are neighbours, or lie up to 4 beats away in the
// same token, before or behind: so values wait 5 cycles in a memory of 16 beats, written round and
// round, and are read twice. Requires: the beats of a token come in consecutive cycles.
// Latency 17 cycles (6 to wait, 1 to swap lanes, 2 to multiply, 3 to add, 5 to round), a beat a
// cycle, never stalls.
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
  localparam int unsigned Wait = 5;
  localparam int unsigned Latency = 17;
  localparam int unsigned SizeBits = 26;

  // ---- beside ----
  logic [Latency-1:0] valid_q, last_q;
  tag_t tag_asks, tag_waits, tag_swaps;
  logic signed [8:0] exponent, exponent_sized;
  logic bf16_sized;

  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni ? {valid_q[Latency-2:0], valid_i} : '0;
    last_q <= {last_q[Latency-2:0], tag_i.last};
    tag_waits <= tag_asks;
    tag_swaps <= tag_waits;
  end
  assign valid_o = valid_q[Latency-1];
  assign last_o = last_q[Latency-1];

  prim_delay #(
      .Width($bits(tag_t)),
      .Cycles(Wait - 1)
  ) u_tag (
      .clk_i,
      .data_i(tag_i),
      .data_o(tag_asks)
  );
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

  // ---- 1 .. 6: waiting; own value, and that of the partner's bank ----
  logic [3:0] tick_q, own_addr, partner_addr, hop;
  turned_t [Lanes-1:0] own_1, partner_1;
  logic behind;  // the partner lies in a later beat

  assign own_addr = tick_q - 4'(Wait);
  assign hop = tag_waits.rope.half_split ? {1'b0, tag_waits.rope.rotated[8:6]} : 4'd0;
  assign behind = {1'b0, tag_waits.beat} < hop;
  assign partner_addr = behind ? own_addr + hop : own_addr - hop;
  always_ff @(posedge clk_i) begin
    tick_q <= tick_q + 4'd1;
    if (!rst_ni) tick_q <= '0;
  end
  for (genvar b = 0; b < Lanes; b++) begin : gen_wait
    turned_t values_q[16];
    always_ff @(posedge clk_i) begin
      values_q[tick_q] <= values_i[b];
      own_1[b] <= values_q[own_addr];
      partner_1[b] <= values_q[partner_addr];
    end
  end

  // ---- 7: partners to their lanes; who is second of its pair ----
  logic [4:0] swap;
  logic [2:0] hop_swaps;
  turned_t [Lanes-1:0] own_2, partner_2;
  logic [Lanes-1:0] second_2;

  assign hop_swaps = tag_swaps.rope.rotated[8:6];
  always_comb begin
    if (!tag_swaps.rope.half_split) swap = 5'd1;
    else if (hop_swaps != '0) swap = 5'd0;
    else swap = tag_swaps.rope.rotated[5] ? 5'd16 : `MUT(86, 5'd8, 5'd16);
  end
  always_ff @(posedge clk_i) begin
    own_2 <= own_1;
    for (int unsigned i = 0; i < Lanes; i++) begin
      partner_2[i] <= partner_1[5'(i)^swap];
      second_2[i] <= swap == '0 ?
      `MUT(92, tag_swaps.beat >= hop_swaps, tag_swaps.beat > hop_swaps)
      : (5'(i) & swap) != '0;
    end
  end

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

  logic unused_tag;
  assign unused_tag = ^tag_swaps;

  `SPECKV_ASSERT(ChanqTurnRopeKnown, !valid_i || rope_known(tag_i.rope))
endmodule
