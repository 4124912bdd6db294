// SPDX-License-Identifier: Apache-2.0
// rowq_frame - how one row is scaled: from its groups' largest sizes to the side word, and each
// group's reciprocal and shift.
//
// A row every four cycles at most; latency 8 cycles, never stalls. docs/codec.md, rowq, encode, 2
// and 3: s is length - 8, where length is that of the row's largest value brought to its share.
`include "speckv_check.svh"

module rowq_frame
  import rowq_pkg::*;
(
    input  logic               clk_i,
    input  logic               rst_ni,
    input  logic               valid_i,
    input  logic   [3:0]       bits_i,
    input  logic               bf16_i,
    input  logic   [7:0]       field_i,
    input  logic   [3:0][14:0] group_i,  // the largest size of each group
    output logic               valid_o,
    output frame_t             frame_o,
    output logic               far_o     // the row's exponent is too large
);
  function automatic logic [14:0] larger(input logic [14:0] a, input logic [14:0] b);
    return a > b ? a : b;
  endfunction
  function automatic logic [3:0] length(input logic [14:0] a);
    length = '0;
    for (int unsigned i = 0; i < 15; i++) if (a[i]) length = 4'(i + 1);
  endfunction
  // 2^15 / width, or a little more where levels are few.
  function automatic logic [15:0] width_reciprocal(input logic [3:0] bits, input logic [4:0] w);
    logic [15:0] three, four, more;
    three = '0;
    four = '0;
    more = '0;
    for (int unsigned i = 0; i < 32; i++) begin
      if (w == 5'(i)) begin
        three = 16'(33750 / (i + 1));
        four = 16'(33000 / (i + 1));
        more = 16'(32767 / (i + 1));
      end
    end
    return bits == 4'd3 ? three : bits == 4'd4 ? four : more;
  endfunction

  // What every stage hands on.
  typedef struct packed {
    logic [3:0]       bits;
    logic             bf16;
    logic             zero;
    logic             too_far;
    logic [7:0]       exponent;   // as it is stored
    logic [3:0][14:0] group;
    logic [1:0][14:0] half;
    logic [1:0][3:0]  below;      // octaves below the row
    logic [1:0][3:0]  shift;
    logic [3:0]       row_shift;
  } row_t;
  row_t row_1, row_2, row_3, row_4, row_5, row_6, row_7;
  logic [8:1] valid_q;
  logic [7:0] field_1, field_2, field_3;

  always_ff @(posedge clk_i) valid_q <= rst_ni ? {valid_q[7:1], valid_i} : '0;

  // 1: halves. 2: the row; shares. 3: lengths.
  logic [14:0] top_1;
  logic [2:0][14:0] share_2;  // halves 0 and 1, row
  logic [2:0][3:0] length_3;

  assign top_1 = larger(row_1.half[0], row_1.half[1]);
  always_ff @(posedge clk_i) begin
    row_1 <= '0;
    row_1.bits <= bits_i;
    row_1.bf16 <= bf16_i;
    row_1.group <= group_i;
    for (int unsigned h = 0; h < 2; h++) row_1.half[h] <= larger(group_i[2*h], group_i[2*h+1]);
    field_1 <= field_i;

    row_2 <= row_1;
    row_2.zero <= top_1 == '0;
    for (int unsigned h = 0; h < 2; h++)
    share_2[h] <= 15'(times_share(16'(row_1.half[h]), row_1.bits) >> 5);
    share_2[2] <= 15'(times_share(16'(top_1), row_1.bits) >> 5);
    field_2 <= field_1;

    row_3 <= row_2;
    for (int unsigned i = 0; i < 3; i++) length_3[i] <= length(share_2[i]);
    field_3 <= field_2;
  end

  // 4: octaves, shifts, exponent.
  logic signed [10:0] exponent_3;
  assign exponent_3 = 11'(length_3[2]) + 11'(field_3) - (row_3.bf16 ? 11'd149 : 11'd37);
  always_ff @(posedge clk_i) begin
    row_4 <= row_3;
    for (int unsigned h = 0; h < 2; h++) begin
      logic [3:0] below, octaves;
      below = length_3[2] - length_3[h];
      octaves = row_3.bits != 4'd8 && below > 4'd3 ? 4'd3 : below;
      row_4.below[h] <= row_3.bits == 4'd8 ? below : octaves;
      row_4.shift[h] <= 4'd15 - length_3[2] + octaves;
    end
    row_4.row_shift <= 4'd15 - length_3[2];
    row_4.exponent <= 8'(exponent_3) - (row_3.bits == 4'd8 ? 8'd8 : 8'd3);
    row_4.too_far <= exponent_3 > (row_3.bf16 ? 11'sd127 : `MUT(63, 11'sd1, 11'sd2));
  end

  // 5: groups shifted; 8 bits: scales of halves. 6: widths. 7, 8: reciprocals.
  logic [3:0][15:0] group_5;
  logic [1:0][7:0] scale_5, scale_6, scale_7;
  logic [3:0][4:0] width_6, width_7;
  logic [3:0][15:0] width_reciprocal_7;
  logic [1:0][22:0] scale_reciprocal_7;
  logic [22:0] reciprocals[257];

  initial begin
    reciprocals[0] = '0;
    for (int unsigned i = 1; i <= 256; i++) reciprocals[i] = 23'((1 << 22) / i);
  end

  always_ff @(posedge clk_i) begin
    row_5 <= row_4;
    for (int unsigned g = 0; g < 4; g++)
    group_5[g] <= 16'({1'b0, row_4.group[g]} << row_4.shift[g/2]);
    for (int unsigned h = 0; h < 2; h++)
    scale_5[h] <= 8'((22'(row_4.half[h]) << row_4.row_shift) >> 7);

    row_6 <= row_5;
    for (int unsigned g = 0; g < 4; g++)
    width_6[g] <= 5'((times_share(group_5[g], row_5.bits) >> 5) >> (4'd7 + row_5.bits));
    scale_6 <= scale_5;

    row_7 <= row_6;
    for (int unsigned g = 0; g < 4; g++)
    width_reciprocal_7[g] <= width_reciprocal(row_6.bits, `MUT(64, width_6[g], width_6[g] + 5'd1));
    for (int unsigned h = 0; h < 2; h++) scale_reciprocal_7[h] <= reciprocals[9'(scale_6[h])+9'd1];
    width_7 <= width_6;
    scale_7 <= scale_6;
  end

  logic [19:0] widths_7;
  always_comb begin
    logic [4:0] at;
    at = '0;
    widths_7 = '0;
    for (int unsigned g = 0; g < 4; g++) begin
      widths_7 |= 20'(width_7[g]) << at;
      at = at + 5'(width_bits(row_7.bits));
    end
  end

  always_ff @(posedge clk_i) begin
    frame_o.zero <= row_7.zero;
    frame_o.shift <= row_7.shift;
    far_o <= row_7.too_far && !row_7.zero;
    for (int unsigned h = 0; h < 2; h++) begin
      logic [22:0] reciprocal;
      reciprocal = scale_reciprocal_7[h] >> row_7.below[h];
      for (int unsigned g = 0; g < 2; g++) begin
        if (row_7.bits != 4'd8) frame_o.reciprocal[2*h+g] <= width_reciprocal_7[2*h+g];
        else frame_o.reciprocal[2*h+g] <= reciprocal > 23'd32767 ? 16'd32767 : reciprocal[15:0];
      end
    end
    if (row_7.zero) frame_o.side <= 32'(ZeroRow);
    else if (row_7.bits == 4'd8) frame_o.side <= {8'd0, scale_7[1], scale_7[0], row_7.exponent};
    else frame_o.side <= {row_7.below[1][1:0], row_7.below[0][1:0], widths_7, row_7.exponent};
  end
  assign valid_o = valid_q[8];

  logic unused_row;
  assign unused_row = ^{row_1, row_2, row_3, row_4, row_5, row_6, row_7};
endmodule
