// SPDX-License-Identifier: Apache-2.0
// xpack_path - codes and lists of xpack to 32 values of the raw side.
//
// Codes of 7 take nibbles off the list, nibbles of 15 take bytes off the far list: each time the
// takers are counted (a prefix sum, two cycles), a pointer moves on by their number, and as many
// entries as a beat can take are cut out behind it (in eights, then singly) and handed out by rank.
// Nothing waits for a value before: the pointers are one addition a beat. Latency 13 cycles, a beat
// a cycle, never stalls. A beat reads the head 1 and 4 cycles after it came.
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
  localparam int unsigned Latency = 13;
  localparam int unsigned Window = Lanes + 7;  // entries from a multiple of 8 on
  typedef logic [5:0] room_t;  // entries behind a pointer, 32 at most

  // The lane's entry: as many are before it as take before it, so a lane chooses among few.
  function automatic logic [4:0] own_of(input int unsigned index, input logic [4:0] rank);
    return rank & 5'((1 << $clog2(index + 1)) - 1);
  endfunction

  // The 64 bytes of the head in which its largest exponent lies, and behind it the far list.
  function automatic logic [2:0] far_word_of(input logic [1:0] blocks);
    return ({1'b0, blocks} + 3'd1) >> 1;
  endfunction

  beat_t head_q[32];
  always_ff @(posedge clk_i) if (head_valid_i) head_q[head_addr_i] <= head_data_i;

  logic [  Latency:1] valid_q;
  tag_t [Latency-1:1] tag_q;
  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni ? {valid_q[Latency-1:1], valid_i} : '0;
    tag_q <= {tag_q[Latency-2:1], row_i.tag};
  end

  // ---- 1, 2: who takes nibbles; offsets of the channels; largest exponent and far list ----
  logic [Lanes-1:0] takes_d, takes_1, takes_2;
  partial_t partial_1;
  ranks_t   ranks_2;
  logic [Lanes-1:0][2:0] codes_1, codes_2;
  logic [Lanes-1:0][3:0] offsets_1, offsets_2;
  logic [2:0] far_word;
  logic [2*BeatBits-1:0] far_words_1;
  logic [7:0] top_2;
  beat_t offset_word, far_list_2;  // the page's, from its first beat on
  logic [11:0] list_2, end_2;

  assign offset_word = head_q[{row_i.tag.buffer, 3'd0, row_i.tag.beat[2]}];
  assign far_word = far_word_of(row_i.tag.blocks);
  for (genvar i = 0; i < Lanes; i++) begin : gen_takes
    assign takes_d[i] = row_i.codes[i] == Escape;
  end
  always_ff @(posedge clk_i) begin
    takes_1 <= takes_d;
    partial_1 <= partial_of(takes_d);
    codes_1 <= row_i.codes;
    offsets_1 <= offset_word[{row_i.tag.beat[1:0], 7'd0}+:128];
    far_words_1 <= {
      head_q[{row_i.tag.buffer, 4'(far_word)+4'd1}], head_q[{row_i.tag.buffer, 4'(far_word)}]
    };
    takes_2 <= takes_1;
    ranks_2 <= ranks_of(partial_1);
    codes_2 <= codes_1;
    offsets_2 <= offsets_1;
    list_2 <= list_of(tag_q[1].tokens, tag_q[1].blocks);
    end_2 <= end_of(tag_q[1].tokens, tag_q[1].blocks);
    // The byte behind the offsets is byte 0 or 32 of its 64.
    if (valid_q[1] && tag_q[1].first)
      {far_list_2, top_2} <= tag_q[1].blocks[0] ? far_words_1[0+:BeatBits+8] :
          far_words_1[UnitBits+:BeatBits+8];
  end

  // ---- 3: the pointer, and what is behind it; bases ----
  logic [11:0] pointer_q, pointer;
  logic [10:0] pointer_3;
  logic [3:0] next_word_3;
  logic signed [12:0] left_3;
  logic [Lanes-1:0][2:0] codes_3;
  logic [Lanes-1:0][7:0] bases_3;

  assign pointer = `MUT(100, tag_q[2].first, 1'b0) ? list_2 : pointer_q;
  always_ff @(posedge clk_i) begin
    // Foreign bytes may ask for more than there is: past every list the pointer stays.
    if (valid_q[2] && !pointer[11])
      pointer_q <= pointer + `MUT(105, 12'(ranks_2.count), 12'(ranks_2.count[4:0]));
    pointer_3 <= pointer[10:0];
    next_word_3 <= pointer[10:7] + 4'd1;
    left_3 <= 13'(end_2) - 13'(pointer);
    codes_3 <= codes_2;
    for (int unsigned i = 0; i < Lanes; i++)
    bases_3[i] <= offsets_2[i] == SmallestOffset ?
    `MUT(102, 8'd6, 8'd7)
    : top_2 - 8'(offsets_2[i]);
  end

  // ---- 4 .. 6: the nibbles behind the pointer; zeros past the list ----
  logic [Lanes-1:0][7:0] below_4;
  logic [2*BeatBits-1:0] around_4;
  logic [6:0] place_4;
  logic [2:0] place_5;
  room_t room_4, room_5;
  logic [Window-1:0][3:0] window_5;
  logic [ Lanes-1:0][3:0] nibbles_6;

  always_ff @(posedge clk_i) begin
    around_4 <= {
      head_q[{tag_q[3].buffer, next_word_3}], head_q[{tag_q[3].buffer, pointer_3[10:7]}]
    };
    place_4 <= pointer_3[6:0];
    room_4 <= left_3 < 0 ? '0 : left_3 > 13'sd32 ? room_t'(Lanes) : room_t'(left_3);
    for (int unsigned i = 0; i < Lanes; i++) below_4[i] <= bases_3[i] - 8'(codes_3[i]);
    window_5 <= (4 * Window)'(around_4 >> {place_4[6:3], 5'd0});
    place_5 <= place_4[2:0];
    room_5 <= room_4;
    for (int unsigned i = 0; i < Lanes; i++)
    nibbles_6[i] <= room_t'(i) < room_5 ? window_5[6'(i)+6'(place_5)] : `MUT(101, 4'd0, 4'd1);
  end

  // ---- 7: nibbles to their values ----
  logic [Lanes-1:0] takes_6;
  logic [Lanes-1:0][4:0] own_6;
  logic [Lanes-1:0][3:0] nibbles_7;
  logic [Lanes-1:0][7:0] below_7;

  prim_delay_ram #(
      .Width(6 * Lanes),
      .Cycles(4)
  ) u_ranks (
      .clk_i,
      .rst_ni,
      .data_i({takes_2, ranks_2.ranks}),
      .data_o({takes_6, own_6})
  );
  prim_delay_ram #(
      .Width(8 * Lanes),
      .Cycles(3)
  ) u_below (
      .clk_i,
      .rst_ni,
      .data_i(below_4),
      .data_o(below_7)
  );
  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < Lanes; i++)
    nibbles_7[i] <= takes_6[i] ? nibbles_6[own_of(i, own_6[i])] : 4'd0;
  end

  // ---- 8, 9: who takes far exponents; the others' exponents ----
  logic [Lanes-1:0] far_d, far_8, far_9;
  partial_t far_partial_8;
  ranks_t far_ranks_9;
  logic [Lanes-1:0][7:0] near_8;
  logic [6:0] far_room_9;

  for (genvar i = 0; i < Lanes; i++) begin : gen_far
    assign far_d[i] = nibbles_7[i] == FarNibble;
  end
  always_ff @(posedge clk_i) begin
    far_8 <= far_d;
    far_partial_8 <= partial_of(far_d);
    for (int unsigned i = 0; i < Lanes; i++)
    near_8[i] <= nibbles_7[i] ==
    `MUT(103, ZeroNibble, FarNibble)
    ? 8'd0 : below_7[i] - 8'(nibbles_7[i]);
    far_9 <= far_8;
    far_ranks_9 <= ranks_of(far_partial_8);
    far_room_9 <= xpack_values(tag_q[8].tokens, tag_q[8].blocks) + `MUT(104, 7'd0, 7'd1);
  end

  // ---- 10: the far pointer, and what is behind it ----
  logic [6:0] far_q, far;
  logic [5:0] far_place_10;
  logic signed [7:0] far_left_10;
  beat_t far_list_10;

  assign far = tag_q[9].first ? 7'd0 : far_q;
  always_ff @(posedge clk_i) begin
    if (valid_q[9]) far_q <= far[6] ? far : far + 7'(far_ranks_9.count);
    far_place_10 <= far[5:0];
    far_left_10 <= 8'(far_room_9) - 8'(far);
    if (valid_q[9] && tag_q[9].first) far_list_10 <= far_list_2;
  end

  // ---- 11, 12: the far list behind its pointer ----
  logic [Window-1:0][7:0] bytes_11;
  logic [2:0] far_place_11;
  room_t far_room_11;
  logic [Lanes-1:0][7:0] exponents_12;

  always_ff @(posedge clk_i) begin
    bytes_11 <= (8 * Window)'(far_list_10 >> {far_place_10[5:3], 6'd0});
    far_place_11 <= far_place_10[2:0];
    far_room_11 <= far_left_10 < 0 ? '0 :
        far_left_10 > 8'sd32 ? room_t'(Lanes) : room_t'(far_left_10);
    for (int unsigned i = 0; i < Lanes; i++)
    exponents_12[i] <= room_t'(i) < far_room_11 ? bytes_11[6'(i)+6'(far_place_11)] : 8'd0;
  end

  // ---- 13: values, turned back by one bit ----
  logic last_13;
  logic [Lanes-1:0] far_12;
  logic [Lanes-1:0][4:0] far_own_12;
  logic [Lanes-1:0][7:0] near_12, lows_12;
  logic [Lanes-1:0][ 2:0] middles_12;
  logic [Lanes-1:0][15:0] values_13;

  prim_delay_ram #(
      .Width(6 * Lanes),
      .Cycles(3)
  ) u_far_ranks (
      .clk_i,
      .rst_ni,
      .data_i({far_9, far_ranks_9.ranks}),
      .data_o({far_12, far_own_12})
  );
  prim_delay_ram #(
      .Width(8 * Lanes),
      .Cycles(4)
  ) u_near (
      .clk_i,
      .rst_ni,
      .data_i(near_8),
      .data_o(near_12)
  );
  prim_delay_ram #(
      .Width(11 * Lanes),
      .Cycles(12)
  ) u_row (
      .clk_i,
      .rst_ni,
      .data_i({row_i.middles, row_i.lows}),
      .data_o({middles_12, lows_12})
  );
  always_ff @(posedge clk_i) begin
    last_13 <= tag_q[12].last;
    for (int unsigned i = 0; i < Lanes; i++) begin
      logic [7:0] exponent;
      exponent = far_12[i] ? exponents_12[own_of(i, far_own_12[i])] : near_12[i];
      if (tag_q[12].bf16) values_13[i] <= {lows_12[i][0], exponent, lows_12[i][7:1]};
      else values_13[i] <= {lows_12[i][0], exponent[4:0], middles_12[i], lows_12[i][7:1]};
    end
  end
  assign valid_o = valid_q[Latency];
  assign last_o = last_13;
  assign beat_o = values_13;

  logic unused_tag;
  assign unused_tag = ^{tag_q, far_words_1};

`ifdef SPECKV_FORMAL
  `SPECKV_PAST
  // Each pointer moves by as many as take, and where it is behind the list it stays: it never comes
  // round to a place before.
  logic [5:0] takers_2, takers_9;
  logic begun_q, far_begun_q;
  partial_t parts_1, parts_8;
  assign parts_1 = partial_of(takes_1);
  assign parts_8 = partial_of(far_8);
  assign takers_2 = 6'($countones(takes_2));
  assign takers_9 = 6'($countones(far_9));
  `SPECKV_ASSERT(XpackParts, !valid_q[1] || partial_1 == parts_1)
  `SPECKV_ASSERT(XpackCounts, !valid_q[2] || ranks_2.count == takers_2)
  `SPECKV_ASSERT(XpackFarParts, !valid_q[8] || far_partial_8 == parts_8)
  `SPECKV_ASSERT(XpackFarCounts, !valid_q[9] || far_ranks_9.count == takers_9)
  `SPECKV_ASSERT(XpackPointerMoves, `SPECKV_NEXT(valid_q[2] && !pointer[11], pointer_q == $past
                                                 (pointer) + 12'($past(takers_2))))
  `SPECKV_ASSERT(XpackPointerStays, `SPECKV_NEXT(valid_q[2] && pointer[11], pointer_q == $past
                                                 (pointer_q)))
  `SPECKV_ASSERT(XpackPointerInRange, !begun_q || pointer_q < 12'd2048 + 12'd32)
  `SPECKV_ASSERT(XpackFarMoves, `SPECKV_NEXT(valid_q[9] && !far[6], far_q == $past(far) + 7'($past
                                             (takers_9))))
  `SPECKV_ASSERT(XpackFarInRange, !far_begun_q || far_q < 7'd64 + 7'd32)
  // A page begins with its first beat.
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      begun_q <= 1'b0;
      far_begun_q <= 1'b0;
    end else begin
      if (valid_q[2]) begin
        begun_q <= begun_q || tag_q[2].first;
      end
      if (valid_q[9]) far_begun_q <= far_begun_q || tag_q[9].first;
    end
  end
  `SPECKV_COVER(XpackPointerBehindList, begun_q && valid_q[2] && takes_2 != '0 && pointer >= end_2)
  `SPECKV_COVER(XpackFarBehindList, far_begun_q && valid_q[9] && far_9 != '0 && far >= far_room_9)
`endif
endmodule
