// SPDX-License-Identifier: Apache-2.0
// chanq_fit - from a channel's least and largest value to its middle and the reach it asks for.
//
// docs/codec.md, section 5, "Encode", steps 2 and 3. The reach around the middle tells the octave
// in which an anchor would lie; around that anchor the reach is measured again. Latency 10 cycles,
// a channel a cycle, never stalls.
`include "speckv_check.svh"

module chanq_fit
  import chanq_pkg::*;
(
    input  logic   clk_i,
    input  fixed_t low_i,
    input  fixed_t high_i,
    output fit_t   fit_o    // its width is the caller's
);
  // The reach code of a distance + 1: the smallest 8k + m with (8 + m) * 2^k >= 8 * distance.
  function automatic logic [6:0] code_of(input logic [15:0] beyond, input logic [3:0] top);
    logic [14:0] fraction;
    fraction = 15'(beyond << (4'd15 - top));
    return {top, 3'd0} + 7'(fraction[14:12]) + 7'(fraction[11:0] != '0);
  endfunction

  // 1: middle; reach around it, and one.
  fixed_t middle_1;
  logic [15:0] beyond_1;
  // 2: its size; where the reach begins.
  size_t size_2;
  logic neg_2;
  logic [15:0] beyond_2;
  logic [3:0] top_2;
  // 3: the first reach code; where the size begins.
  size_t size_3;
  logic neg_3;
  logic [3:0] octave_3, place_3;
  // 4: the octave that an anchor needs; 5, 6: the anchor.
  size_t size_4;
  logic neg_4, neg_5, neg_6;
  logic [3:0] octave_4, place_4, place_5, coarse;
  logic [15:0] rounded_5;
  logic signed [16:0] anchor_6;
  logic [14:0] normal;

  assign normal = size_3 << (4'd14 - place_3);
  always_comb begin
    // 124 * 2^k reaches what begins with less than five ones, and five with nothing behind.
    coarse = place_3 <= 4'd5 ? 4'd0 : place_3 - 4'd6;
    if (normal[14:10] == '1 && `MUT(144, normal[9:0] != '0, 1'b0) && place_3 > 4'd5)
      coarse = place_3 - 4'd5;
  end
  always_ff @(posedge clk_i) begin
    logic signed [16:0] sum;
    sum = 17'(low_i) + 17'(high_i) + `MUT(143, 17'sd0, 17'sd1);
    middle_1 <= 16'(sum >>> 1);
    beyond_1 <= 16'((17'(high_i) - 17'(low_i) + 17'sd3) >> 1);

    size_2 <= 15'(middle_1 < 0 ? -middle_1 : middle_1);
    neg_2 <= middle_1 < 0;
    beyond_2 <= beyond_1;
    top_2 <= log2_of(beyond_1);

    size_3 <= size_2;
    neg_3 <= neg_2;
    octave_3 <= 4'(code_of(beyond_2, top_2) >> 3);
    place_3 <= log2_of({1'b0, size_2});

    size_4 <= size_3;
    neg_4 <= neg_3;
    place_4 <= place_3;
    octave_4 <= octave_3 > coarse ? octave_3 : coarse;

    neg_5 <= neg_4;
    place_5 <= octave_4 > place_4 ? octave_4 : place_4;
    rounded_5 <= anchor_sum(size_4, octave_4 > place_4 ? octave_4 : place_4);

    neg_6 <= neg_5;
    anchor_6 <= 17'(anchor_size(rounded_5, place_5));
  end

  // ---- beside ----
  fixed_t low_6, high_6;
  logic [3:0] octave_9;
  prim_delay #(
      .Width(32),
      .Cycles(6)
  ) u_range (
      .clk_i,
      .data_i({low_i, high_i}),
      .data_o({low_6, high_6})
  );
  prim_delay #(
      .Width(4),
      .Cycles(5)
  ) u_octave (
      .clk_i,
      .data_i(octave_4),
      .data_o(octave_9)
  );
  logic neg_10;
  size_t size_10;
  logic [3:0] place_10;
  prim_delay #(
      .Width(20),
      .Cycles(6)
  ) u_middle (
      .clk_i,
      .data_i({neg_4, size_4, place_4}),
      .data_o({neg_10, size_10, place_10})
  );

  // 7: distances from the anchor; 8: the larger, and one; 9: where it begins; 10: the reach.
  logic signed [17:0] above_7, below_7;
  logic [15:0] beyond_8, beyond_9;
  logic [3:0] top_9;
  logic [6:0] wanted_10;

  always_ff @(posedge clk_i) begin
    logic signed [17:0] anchor;
    logic [6:0] code;
    anchor = neg_6 ? -18'(anchor_6) : 18'(anchor_6);
    above_7 <= 18'(high_6) - anchor;
    below_7 <= anchor - 18'(low_6);
    beyond_8 <= 16'(above_7 > below_7 ? above_7 : below_7) + 16'd1;
    beyond_9 <= beyond_8;
    top_9 <= log2_of(beyond_8);
    code = code_of(beyond_9, top_9);
    wanted_10 <= code > {octave_9, 3'd0} ? code : {octave_9, 3'd0};
  end
  assign fit_o = '{width: '0, wanted: wanted_10, neg: neg_10, size: size_10, place: place_10};
endmodule
