// SPDX-License-Identifier: Apache-2.0
// chanq_sides - what a page has beside its codes: header, anchors, reaches; for two pages.
//
// Words come as they lie in the ring; a read gives 32 channels 3 cycles later. One of each a cycle,
// never stalls. Foreign bytes are brought into range here: exponent, largest reach, grain.
`include "speckv_check.svh"

module chanq_sides
  import speckv_pkg::*;
  import chanq_pkg::*;
(
    input  logic                       clk_i,
    input  side_tag_t                  side_i,
    input  beat_t                      side_data_i,
    input  logic                       buffer_i,
    input  logic                       bf16_i,
    input  logic      [      2:0]      beat_i,       // of the token
    output logic      [      7:0]      field_o,      // the page's exponent
    output logic      [Lanes-1:0][7:0] anchors_o,
    output logic      [Lanes-1:0][6:0] reaches_o
);
  logic [Lanes*8-1:0] anchors_q[16];
  logic [Channels-1:0] drops_q[2*8];  // by buffer and plane
  logic [23:0] header_q[2];

  always_ff @(posedge clk_i) begin
    if (side_i.valid && !side_i.drops)
      anchors_q[{side_i.buffer, side_i.index}] <= side_data_i[64+:Lanes*8];
    if (side_i.valid && !side_i.drops && side_i.index == '0)
      header_q[side_i.buffer] <= side_data_i[23:0];
    if (side_i.valid && side_i.drops)
      drops_q[{side_i.buffer, side_i.index}] <= side_data_i[{1'b0, side_i.start, 6'd0}+:Channels];
  end

  // 1: the words of the beat.
  logic [Lanes*8-1:0] anchors_1;
  logic [DropPlanes-1:0][Lanes-1:0] drops_1;
  logic [23:0] header_1;
  logic bf16_1;

  always_ff @(posedge clk_i) begin
    anchors_1 <= anchors_q[{buffer_i, beat_i}];
    for (int unsigned p = 0; p < DropPlanes; p++)
    drops_1[DropPlanes-1-p] <= drops_q[{buffer_i, 3'(p)}][{beat_i, 5'd0}+:Lanes];
    header_1 <= header_q[buffer_i];
    bf16_1 <= bf16_i;
  end

  // 2: how far below the largest reach.
  logic [Lanes*8-1:0] anchors_2;
  logic [Lanes-1:0][6:0] below_2;
  logic [6:0] top_2;
  logic [7:0] field_2, floor, ceiling;
  logic [1:0] grain;

  assign floor = bf16_1 ? 8'd100 : 8'd1;
  assign ceiling = bf16_1 ? 8'd160 : `MUT(83, 8'd31, 8'd30);
  assign grain = header_1[23:16] > `MUT(91, GrainMax, 8'd3) ? GrainMax[1:0] : header_1[17:16];
  always_ff @(posedge clk_i) begin
    anchors_2 <= anchors_1;
    field_2 <= header_1[7:0] < floor ? floor : header_1[7:0] > ceiling ? ceiling : header_1[7:0];
    top_2 <= header_1[15:8] > `MUT(84, ReachMax, 8'd120) ? 7'(ReachMax) : header_1[14:8];
    for (int unsigned i = 0; i < Lanes; i++) begin
      logic [DropPlanes-1:0] drop;
      for (int unsigned p = 0; p < DropPlanes; p++) drop[p] = drops_1[p][i];
      below_2[i] <= 7'(drop) << grain;
    end
  end

  // 3: reaches.
  always_ff @(posedge clk_i) begin
    anchors_o <= anchors_2;
    field_o <= field_2;
    for (int unsigned i = 0; i < Lanes; i++)
    reaches_o[i] <= below_2[i] > top_2 ? '0 : top_2 - below_2[i];
  end
endmodule
