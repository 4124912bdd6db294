// SPDX-License-Identifier: Apache-2.0
// chanq_value - middle of a cell, reach and anchor of its channel to the value before the turn.
//
// Latency 3 cycles, a beat a cycle, never stalls. Any bytes fit 24 bits.
`include "speckv_check.svh"

module chanq_value
  import chanq_pkg::*;
(
    input  logic                     clk_i,
    input  middle_t [Lanes-1:0]      middles_i,
    input  logic    [Lanes-1:0][7:0] anchors_i,
    input  logic    [Lanes-1:0][6:0] reaches_i,
    output turned_t [Lanes-1:0]      values_o
);
  for (genvar i = 0; i < Lanes; i++) begin : gen_lane
    logic signed [12:0] middle, part_1;
    logic signed [11:0] anchor_1;
    logic [10:0] size;
    logic [3:0] octave_1, octave_2;
    logic signed [18:0] fine_2;
    logic signed [32:0] scaled;

    // 1: times 8 + m; the anchor, a small float, as a number.
    assign middle = 13'(middles_i[i]);
    always_comb begin
      size = {4'd0, anchors_i[i][6:0]};
      if (anchors_i[i][6:5] != '0)
        size = 11'({1'b1, anchors_i[i][3:0]}) << (anchors_i[i][6:4] - 3'd1);
    end
    always_ff @(posedge clk_i) begin
      part_1 <=
      `MUT(85, middle <<< 3, 13'sd0)
      + (reaches_i[i][2] ? middle <<< 2 : 13'sd0) + (reaches_i[i][1] ? middle <<< 1 : 13'sd0) +
          (reaches_i[i][0] ? middle : 13'sd0);
      anchor_1 <= anchors_i[i][7] ? -12'(size) : 12'(size);
      octave_1 <= reaches_i[i][6:3];
    end
    // 2: with the anchor.
    always_ff @(posedge clk_i) begin
      fine_2 <= 19'(part_1) + {anchor_1, 7'd0};
      octave_2 <= octave_1;
    end
    // 3: in its octave, rounded down.
    assign scaled = 33'(fine_2) <<< octave_2;
    always_ff @(posedge clk_i) values_o[i] <= scaled[32:9];

    logic unused_scaled;
    assign unused_scaled = ^scaled[8:0];
  end
endmodule
