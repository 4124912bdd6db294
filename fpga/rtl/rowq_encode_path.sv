// SPDX-License-Identifier: Apache-2.0
// rowq_encode_path - rows of raw values to codes and side words: rowq's encoder without its memory.
//
// A row is four neighbouring beats; between rows there may be gaps. Latency 54 cycles, a beat a
// cycle, never stalls. far_o and not_finite_o say of a beat's row that the page is refused.
`include "speckv_check.svh"

module rowq_encode_path
  import rowq_pkg::*;
(
    input  logic              clk_i,
    input  logic              rst_ni,
    input  logic              valid_i,
    input  tag_t              tag_i,
    input  logic [31:0][15:0] values_i,
    output logic              valid_o,
    output tag_t              tag_o,
    output logic [31:0]       side_o,
    output logic [31:0][ 7:0] codes_o,
    output logic              far_o,
    output logic              not_finite_o
);
  // From a row's first transformed beat to its frame: 1 for sizes, 5 for a group's largest, 4 until
  // the fourth group has come, 8 in rowq_frame.
  localparam int unsigned FrameWait = 17;

  typedef struct packed {
    logic       too_far;
    logic       not_finite;
    logic [7:0] field;
    tag_t       tag;
  } beside_t;

  logic aligned_valid, summed_valid, valid_1;
  beside_t aligned_beside, summed_beside, beside_1, beside_6;
  logic signed [31:0][9:0] aligned;
  logic signed [31:0][15:0] summed;
  logic [31:0] neg_1;
  logic [31:0][14:0] size_1;

  rowq_align u_align (
      .clk_i,
      .rst_ni,
      .valid_i,
      .tag_i,
      .values_i,
      .valid_o(aligned_valid),
      .tag_o(aligned_beside.tag),
      .field_o(aligned_beside.field),
      .far_o(aligned_beside.too_far),
      .not_finite_o(aligned_beside.not_finite),
      .values_o(aligned)
  );
  wht64 #(
      .Width(10)
  ) u_transform (
      .clk_i,
      .rst_ni,
      .valid_i(aligned_valid),
      .second_i(aligned_beside.tag.quarter[0]),
      .values_i(aligned),
      .valid_o(summed_valid),
      .values_o(summed)
  );
  prim_delay #(
      .Width($bits(beside_t)),
      .Cycles(7)
  ) u_beside_sums (
      .clk_i,
      .data_i(aligned_beside),
      .data_o(summed_beside)
  );

  // 1: sign and size. 2 .. 6: the largest of the beat, which is a group.
  function automatic logic [14:0] larger(input logic [14:0] a, input logic [14:0] b);
    return a > b ? a : b;
  endfunction
  logic [15:0][14:0] top_2;
  logic [7:0][14:0] top_3;
  logic [3:0][14:0] top_4;
  logic [1:0][14:0] top_5;
  logic [14:0] top_6;
  logic [6:2] valid_q;

  always_ff @(posedge clk_i) begin
    valid_1 <= summed_valid && rst_ni;
    beside_1 <= summed_beside;
    for (int unsigned i = 0; i < 32; i++) begin
      neg_1[i] <= summed[i][15];
      size_1[i] <= 15'(summed[i][15] ? -summed[i] : summed[i]);
    end
    for (int unsigned i = 0; i < 16; i++) top_2[i] <= larger(size_1[2*i], size_1[2*i+1]);
    for (int unsigned i = 0; i < 8; i++) top_3[i] <= larger(top_2[2*i], top_2[2*i+1]);
    for (int unsigned i = 0; i < 4; i++) top_4[i] <= larger(top_3[2*i], top_3[2*i+1]);
    for (int unsigned i = 0; i < 2; i++) top_5[i] <= larger(top_4[2*i], top_4[2*i+1]);
    top_6 <= larger(top_5[0], top_5[1]);
    valid_q <= rst_ni ? {valid_q[5:2], valid_1} : '0;
  end
  prim_delay #(
      .Width($bits(beside_t)),
      .Cycles(5)
  ) u_beside_groups (
      .clk_i,
      .data_i(beside_1),
      .data_o(beside_6)
  );

  // 7: the row's four groups.
  logic [3:0][14:0] groups_7;
  logic row_7;
  beside_t beside_7;
  always_ff @(posedge clk_i) begin
    if (valid_q[6]) groups_7[beside_6.tag.quarter] <= top_6;
    row_7 <= valid_q[6] && beside_6.tag.quarter == 2'd3 && rst_ni;
    beside_7 <= beside_6;
  end

  frame_t frame, frame_q, frame_now;
  logic frame_valid, frame_far, frame_far_q, frame_far_now;
  rowq_frame u_frame (
      .clk_i,
      .rst_ni,
      .valid_i(row_7),
      .bits_i(beside_7.tag.bits),
      .bf16_i(beside_7.tag.bf16),
      .field_i(beside_7.field),
      .group_i(groups_7),
      .valid_o(frame_valid),
      .frame_o(frame),
      .far_o(frame_far)
  );

  // The row's beats wait for it; a cycle before, their tags choose what they need of it.
  logic waited_valid, coming_far, coming_inf, waited_far, waited_inf;
  tag_t coming_tag, waited_tag;
  logic [31:0] waited_neg;
  logic [31:0][14:0] waited_size;
  group_t group_q;
  logic [FrameWait+1:1] wait_q;

  always_ff @(posedge clk_i) wait_q <= rst_ni ? {wait_q[FrameWait:1], valid_1} : '0;
  assign waited_valid = wait_q[FrameWait+1];
  prim_delay_ram #(
      .Width($bits(tag_t) + 2),
      .Cycles(FrameWait)
  ) u_coming (
      .clk_i,
      .rst_ni,
      .data_i({beside_1.too_far, beside_1.not_finite, beside_1.tag}),
      .data_o({coming_far, coming_inf, coming_tag})
  );
  prim_delay_ram #(
      .Width(512),
      .Cycles(FrameWait + 1)
  ) u_wait (
      .clk_i,
      .rst_ni,
      .data_i({neg_1, size_1}),
      .data_o({waited_neg, waited_size})
  );
  assign frame_now = coming_tag.quarter == 2'd0 ? frame : frame_q;
  assign frame_far_now = coming_tag.quarter == 2'd0 ? frame_far : frame_far_q;
  always_ff @(posedge clk_i) begin
    frame_q <= frame_now;
    frame_far_q <= frame_far_now;
    waited_tag <= coming_tag;
    waited_far <= coming_far || frame_far_now;
    waited_inf <= coming_inf;
    group_q <= '{
        zero: frame_now.zero,
        side: frame_now.side,
        reciprocal: frame_now.reciprocal[coming_tag.quarter],
        shift: frame_now.shift[coming_tag.quarter[1]]
    };
  end

  rowq_quantise u_quantise (
      .clk_i,
      .rst_ni,
      .valid_i(waited_valid),
      .tag_i(waited_tag),
      .group_i(group_q),
      .neg_i(waited_neg),
      .size_i(waited_size),
      .valid_o,
      .tag_o,
      .side_o,
      .codes_o
  );
  prim_delay #(
      .Width(2),
      .Cycles(13)
  ) u_refusal (
      .clk_i,
      .data_i({waited_far, waited_inf}),
      .data_o({far_o, not_finite_o})
  );

  logic unused_beside;
  assign unused_beside = ^beside_7;

  `SPECKV_ASSERT(RowqEncodeFrameMeetsRow,
                 frame_valid == (wait_q[FrameWait] && coming_tag.quarter == 2'd0))
endmodule
