// SPDX-License-Identifier: Apache-2.0
// rowq_align - a row's values as integers of 10 bits under its largest exponent, signs changed.
//
// A row is four neighbouring beats. Latency 11 cycles: values wait 8 of them for the row's
// exponent. A beat a cycle, never stalls. far_o: the exponent is out of the codec's range;
// not_finite_o: a value is NaN or infinity; both belong to the beat's row.
`include "speckv_check.svh"

module rowq_align
  import rowq_pkg::*;
(
    input  logic                     clk_i,
    input  logic                     rst_ni,
    input  logic                     valid_i,
    input  tag_t                     tag_i,
    input  logic        [31:0][15:0] values_i,
    output logic                     valid_o,
    output tag_t                     tag_o,
    output logic        [ 7:0]       field_o,       // the row's exponent field
    output logic                     far_o,
    output logic                     not_finite_o,
    output logic signed [31:0][ 9:0] values_o
);
  function automatic logic [7:0] larger(input logic [7:0] a, input logic [7:0] b);
    return a > b ? a : b;
  endfunction

  // 1 .. 4: the largest field of a beat; 5: of the row so far.
  logic [31:0][7:0] field_1;
  logic [ 7:0][7:0] field_2;
  logic [ 1:0][7:0] field_3;
  logic [7:0] field_4, field_5;
  tag_t tag_4;

  prim_delay #(
      .Width($bits(tag_t)),
      .Cycles(4)
  ) u_tag_4 (
      .clk_i,
      .data_i(tag_i),
      .data_o(tag_4)
  );
  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < 32; i++) field_1[i] <= field_of(values_i[i], tag_i.bf16);
    for (int unsigned i = 0; i < 8; i++)
    field_2[i] <= larger(
        larger(field_1[4*i], field_1[4*i+1]), larger(field_1[4*i+2], field_1[4*i+3])
    );
    for (int unsigned i = 0; i < 2; i++)
    field_3[i] <= larger(
        larger(field_2[4*i], field_2[4*i+1]), larger(field_2[4*i+2], field_2[4*i+3])
    );
    field_4 <= larger(field_3[0], field_3[1]);
    field_5 <= larger(field_4, tag_4.quarter == 2'd0 ? (tag_4.bf16 ? 8'd100 : 8'd1) : field_5);
  end

  // 8: the row is whole; its first beat comes out of the delay in the same cycle.
  logic [8:1] valid_q;
  logic [7:0] row_field_q, row_field;
  tag_t tag_8;
  logic [31:0][15:0] value_8;

  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni ? {valid_q[7:1], valid_i} : '0;
    row_field_q <= row_field;
  end
  prim_delay_ram #(
      .Width(512),
      .Cycles(8)
  ) u_values (
      .clk_i,
      .rst_ni,
      .data_i(values_i),
      .data_o(value_8)
  );
  prim_delay #(
      .Width($bits(tag_t)),
      .Cycles(4)
  ) u_tag_8 (
      .clk_i,
      .data_i(tag_4),
      .data_o(tag_8)
  );
  assign row_field = tag_8.quarter == 2'd0 ? field_5 : row_field_q;

  // 9: mantissas, and how far below the row's exponent each lies.
  tag_t tag_9;
  logic valid_9, far_9, inf_9;
  logic [7:0] row_field_9;
  logic [31:0][10:0] size_9;
  logic [31:0][3:0] down_9;
  logic [31:0] neg_9;

  always_ff @(posedge clk_i) begin
    valid_9 <= valid_q[8] && rst_ni;
    tag_9 <= tag_8;
    row_field_9 <= row_field;
    far_9 <= row_field >= (tag_8.bf16 ? 8'd147 : `MUT(60, 8'd29, 8'd30));
    inf_9 <= row_field == (tag_8.bf16 ? 8'd255 : 8'd31);
    for (int unsigned i = 0; i < 32; i++) begin
      logic [7:0] field, down;
      field = field_of(value_8[i], tag_8.bf16);
      down = row_field - (field == '0 ? 8'd1 : field);
      size_9[i] <= tag_8.bf16 ?
          {field != '0, value_8[i][6:0], 3'd0} : {field != '0, value_8[i][9:0]};
      down_9[i] <= down > 8'd9 ? 4'd10 : down[3:0];
      neg_9[i] <= value_8[i][15];
    end
  end

  // 10: rounded, halves up, at most 511.
  tag_t tag_10;
  logic valid_10, far_10, inf_10;
  logic [7:0] row_field_10;
  logic [31:0][8:0] size_10;
  logic [31:0] neg_10, flip;

  always_ff @(posedge clk_i) begin
    valid_10 <= valid_9 && rst_ni;
    tag_10 <= tag_9;
    row_field_10 <= row_field_9;
    far_10 <= far_9;
    inf_10 <= inf_9;
    neg_10 <= neg_9;
    for (int unsigned i = 0; i < 32; i++) begin
      logic [10:0] twice;
      logic unused_half;
      twice = 11'(size_9[i] >> 1 >> down_9[i]) + `MUT(61, 11'd1, 11'd0);
      unused_half = twice[0];
      size_10[i] <= twice[10] ? `MUT(62, 9'd511, twice[9:1]) : twice[9:1];
    end
  end

  // 11: signs.
  rowq_signs u_signs (
      .clk_i,
      .valid_i(valid_10),
      .tag_i(tag_10),
      .flip_o(flip)
  );
  always_ff @(posedge clk_i) begin
    valid_o <= valid_10 && rst_ni;
    tag_o <= tag_10;
    field_o <= row_field_10;
    far_o <= far_10;
    not_finite_o <= inf_10;
    for (int unsigned i = 0; i < 32; i++)
    values_o[i] <= neg_10[i] ^ flip[i] ? -10'(size_10[i]) : 10'(size_10[i]);
  end

  `SPECKV_PAST
  `SPECKV_ASSERT(RowqAlignRowIsWhole, `SPECKV_NEXT(valid_i && tag_i.quarter != 2'd3, valid_i))
endmodule
