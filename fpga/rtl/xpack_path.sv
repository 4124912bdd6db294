// SPDX-License-Identifier: Apache-2.0
// xpack_path - codes and lists of xpack to 32 values of the raw side.
//
// Codes of 7 take nibbles off the list, nibbles of 15 take bytes off the far list: each time the
// takers are counted (a prefix sum), a pointer moves on by their number, and as many entries as a
// beat can take are cut out behind it and handed out by rank. Nothing waits for a value before: the
// pointers are one addition a beat. Latency 7 cycles, a beat a cycle, never stalls.
`include "speckv_check.svh"

module xpack_path
  import speckv_pkg::*;
  import xpack_pkg::*;
(
    input  logic        clk_i,
    input  logic        rst_ni,
    input  logic        head_valid_i,
    input  logic  [4:0] head_addr_i,
    input  beat_t       head_data_i,
    input  logic        valid_i,
    input  row_t        row_i,
    output logic        valid_o,
    output logic        last_o,
    output beat_t       beat_o
);
  localparam int unsigned Latency = 7;
  typedef logic [Lanes-1:0][4:0] ranks_t;

  // How many of the lanes before take something; and of all.
  function automatic ranks_t ranks_of(input logic [Lanes-1:0] takes);
    logic [5:0] sum;
    sum = '0;
    for (int unsigned i = 0; i < Lanes; i++) begin
      ranks_of[i] = sum[4:0];
      sum = sum + 6'(takes[i]);
    end
  endfunction
  function automatic logic [5:0] count_of(input logic [Lanes-1:0] takes);
    count_of = '0;
    for (int unsigned i = 0; i < Lanes; i++) count_of = count_of + 6'(takes[i]);
  endfunction

  // The 64 bytes of the head in which its largest exponent lies, and behind it the far list.
  function automatic logic [2:0] far_word_of(input logic [1:0] blocks);
    return ({1'b0, blocks} + 3'd1) >> 1;
  endfunction

  beat_t head_q[32];
  always_ff @(posedge clk_i) if (head_valid_i) head_q[head_addr_i] <= head_data_i;

  logic [Latency:1] valid_q;
  always_ff @(posedge clk_i) valid_q <= rst_ni ? {valid_q[Latency-1:1], valid_i} : '0;

  // ---- 1: who takes nibbles; offsets of the channels ----
  row_t row_1;
  logic [Lanes-1:0] takes_d, takes_1;
  ranks_t ranks_1;
  logic [5:0] count_1;
  logic [Lanes-1:0][3:0] offsets_1;

  beat_t offset_word;
  assign offset_word = head_q[{row_i.tag.buffer, 3'd0, row_i.tag.beat[2]}];
  for (genvar i = 0; i < Lanes; i++) begin : gen_takes
    assign takes_d[i] = row_i.codes[i] == Escape;
  end
  always_ff @(posedge clk_i) begin
    row_1 <= row_i;
    takes_1 <= takes_d;
    ranks_1 <= ranks_of(takes_d);
    count_1 <= count_of(takes_d);
    offsets_1 <= offset_word[{row_i.tag.beat[1:0], 7'd0}+:128];
  end

  // ---- 2: the pointer; 64 nibbles around it. Largest exponent and far list. ----
  row_t row_2;
  logic [Lanes-1:0] takes_2;
  ranks_t ranks_2;
  logic [Lanes-1:0][3:0] offsets_2;
  logic [11:0] pointer_q, pointer, pointer_2;
  logic [2*BeatBits-1:0] around;
  logic [2*Lanes-1:0][3:0] nibbles_2;
  logic [7:0] top_2;
  logic [11:0] end_2;

  assign pointer =
      `MUT(100, row_1.tag.first, 1'b0)
      ? list_of(
          row_1.tag.tokens, row_1.tag.blocks
      ) : pointer_q;
  assign around = {
    head_q[{row_1.tag.buffer, 4'(pointer[10:7]+4'd1)}], head_q[{row_1.tag.buffer, pointer[10:7]}]
  };
  // The byte behind the offsets is byte 0 or 32 of its 64.
  beat_t top_word;
  assign top_word = head_q[{row_1.tag.buffer, 1'b0, far_word_of(row_1.tag.blocks)}];
  always_ff @(posedge clk_i) begin
    row_2 <= row_1;
    takes_2 <= takes_1;
    ranks_2 <= ranks_1;
    offsets_2 <= offsets_1;
    // Foreign bytes may ask for more than there is: past every list the pointer stays.
    if (valid_q[1] && !pointer[11])
      pointer_q <= pointer + `MUT(105, 12'(count_1), 12'(count_1[4:0]));
    pointer_2 <= pointer;
    nibbles_2 <= around[{1'b0, pointer[6:5], 7'd0}+:256];
    end_2 <= end_of(row_1.tag.tokens, row_1.tag.blocks);
    top_2 <= row_1.tag.blocks[0] ? top_word[7:0] : top_word[UnitBits+:8];
  end

  // ---- 3: the nibbles behind the pointer; zeros past the list. Bases. ----
  row_t row_3;
  logic [Lanes-1:0] takes_3;
  ranks_t ranks_3;
  logic [Lanes-1:0][3:0] nibbles_3;
  logic [Lanes-1:0][7:0] bases_3;

  always_ff @(posedge clk_i) begin
    row_3 <= row_2;
    takes_3 <= takes_2;
    ranks_3 <= ranks_2;
    for (int unsigned i = 0; i < Lanes; i++) begin
      nibbles_3[i] <= pointer_2 + 12'(i) < end_2 ? nibbles_2[6'(i)+{1'b0, pointer_2[4:0]}] : `MUT(
          101, 4'd0, 4'd1);
      bases_3[i] <= offsets_2[i] == SmallestOffset ?
      `MUT(102, 8'd6, 8'd7)
      : top_2 - 8'(offsets_2[i]);
    end
  end

  // ---- 4: nibbles to their values ----
  row_t row_4;
  logic [Lanes-1:0] takes_4;
  logic [Lanes-1:0][3:0] nibbles_4;
  logic [Lanes-1:0][7:0] bases_4;

  always_ff @(posedge clk_i) begin
    row_4 <= row_3;
    takes_4 <= takes_3;
    for (int unsigned i = 0; i < Lanes; i++) begin
      nibbles_4[i] <= takes_3[i] ? nibbles_3[ranks_3[i]] : 4'd0;
      bases_4[i] <= bases_3[i] - 8'(row_3.codes[i]);
    end
  end

  // ---- 5: who takes far exponents; the others' exponents ----
  row_t row_5;
  logic [Lanes-1:0] far_d, far_5;
  ranks_t ranks_5;
  logic [5:0] count_5;
  logic [Lanes-1:0][7:0] near_5;

  for (genvar i = 0; i < Lanes; i++) begin : gen_far
    assign far_d[i] = takes_4[i] && nibbles_4[i] == FarNibble;
  end
  always_ff @(posedge clk_i) begin
    row_5 <= row_4;
    far_5 <= far_d;
    ranks_5 <= ranks_of(far_d);
    count_5 <= count_of(far_d);
    for (int unsigned i = 0; i < Lanes; i++)
    near_5[i] <= nibbles_4[i] ==
    `MUT(103, ZeroNibble, FarNibble)
    ? 8'd0 : bases_4[i] - 8'(nibbles_4[i]);
  end

  // ---- 6: the far list behind its pointer ----
  row_t row_6;
  logic [Lanes-1:0] far_6;
  ranks_t ranks_6;
  logic [Lanes-1:0][7:0] near_6, exponents_6;
  logic [11:0] far_q, far;
  logic [2:0] far_word;
  logic [127:0][7:0] far_list;
  logic [6:0] far_room;

  assign far = row_5.tag.first ? 12'd0 : far_q;
  assign far_word = far_word_of(row_5.tag.blocks);
  assign far_list = {
    head_q[{row_5.tag.buffer, 4'(far_word)+4'd1}], head_q[{row_5.tag.buffer, 4'(far_word)}]
  };
  assign far_room = xpack_values(row_5.tag.tokens, row_5.tag.blocks);
  always_ff @(posedge clk_i) begin
    row_6 <= row_5;
    far_6 <= far_5;
    ranks_6 <= ranks_5;
    near_6 <= near_5;
    if (valid_q[5]) far_q <= far[6] ? far : far + 12'(count_5);
    for (int unsigned i = 0; i < Lanes; i++) begin
      exponents_6[i] <= far + 12'(i) < 12'(far_room) +
      `MUT(104, 12'd0, 12'd1)
      ? far_list[7'(far)+7'(i)+(row_5.tag.blocks[0]?7'd1 : 7'd33)] : 8'd0;
    end
  end

  // ---- 7: values, turned back by one bit ----
  logic last_7;
  logic [Lanes-1:0][15:0] values_7;

  always_ff @(posedge clk_i) begin
    last_7 <= row_6.tag.last;
    for (int unsigned i = 0; i < Lanes; i++) begin
      logic [7:0] exponent;
      exponent = far_6[i] ? exponents_6[ranks_6[i]] : near_6[i];
      if (row_6.tag.bf16) values_7[i] <= {row_6.lows[i][0], exponent, row_6.lows[i][7:1]};
      else values_7[i] <= {row_6.lows[i][0], exponent[4:0], row_6.middles[i], row_6.lows[i][7:1]};
    end
  end
  assign valid_o = valid_q[Latency];
  assign last_o = last_7;
  assign beat_o = values_7;

  logic unused_tag;
  assign unused_tag = ^{row_6, top_word};

`ifdef SPECKV_FORMAL
  `SPECKV_PAST
  // Each pointer moves by as many as take, and where it is behind the list it stays: it never comes
  // round to a place before.
  logic [5:0] takers_1, takers_5;
  logic begun_q, far_begun_q;
  assign takers_1 = 6'($countones(takes_1));
  assign takers_5 = 6'($countones(far_5));
  `SPECKV_ASSERT(XpackCounts, count_1 == takers_1 && count_5 == takers_5)
  `SPECKV_ASSERT(XpackPointerMoves, `SPECKV_NEXT(valid_q[1] && !pointer[11], pointer_q == $past
                                                 (pointer) + 12'($past(takers_1))))
  `SPECKV_ASSERT(XpackPointerStays, `SPECKV_NEXT(valid_q[1] && pointer[11], pointer_q == $past
                                                 (pointer_q)))
  `SPECKV_ASSERT(XpackPointerInRange, !begun_q || pointer_q < 12'd2048 + 12'd32)
  `SPECKV_ASSERT(XpackFarMoves, `SPECKV_NEXT(valid_q[5] && !far[6], far_q == $past(far) + 12'($past
                                             (takers_5))))
  `SPECKV_ASSERT(XpackFarInRange, !far_begun_q || far_q < 12'd64 + 12'd32)
  // A page begins with its first beat.
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      begun_q <= 1'b0;
      far_begun_q <= 1'b0;
    end else begin
      if (valid_q[1]) begin
        begun_q <= begun_q || row_1.tag.first;
      end
      if (valid_q[5]) far_begun_q <= far_begun_q || row_5.tag.first;
    end
  end
  `SPECKV_COVER(XpackPointerBehindList,
                begun_q && valid_q[2] && takes_2 != '0 && pointer_2 >= end_2)
  `SPECKV_COVER(XpackFarBehindList,
                far_begun_q && valid_q[5] && far_5 != '0 && far >= 12'(far_room))
`endif
endmodule
