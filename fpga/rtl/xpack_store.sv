// SPDX-License-Identifier: Apache-2.0
// xpack_store - encoded beats to an xpack page in the page ring: xpack_fetch the other way round.
//
// Eight beats are a group of 11 or 14 units: low bytes leave as they come, two beats a word; codes
// and middle bits are gathered and leave in the cycles between. The list of nibbles is filled up
// word by word; its first word, the offsets and the far list before it lie aside until the page is
// done, and so does what the list leaves empty. A page's head takes its turn in the free cycles of
// the next page's groups: one of eight is always free.
//
// Beats never wait. page_valid_i: the page's last beat is on its way; page_ready_o: the head of the
// page before is written, so that it may be. first_valid_i with the page's base, before its first
// beat. done_o with the page's refusal: all is written.
`include "speckv_check.svh"

module xpack_store
  import speckv_pkg::*;
  import xpack_pkg::*;
(
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             page_valid_i,
    output logic             page_ready_o,
    input  logic             first_valid_i,
    input  ring_addr_t       first_base_i,
    input  logic             valid_i,
    input  packed_t          row_i,
    output logic             write_o,
    output logic       [1:0] write_mask_o,
    output ring_addr_t       write_addr_o,
    output beat_t            write_data_o,
    output logic             done_o,
    output refusal_e         refusal_o
);
  localparam int unsigned CodeUnits = 6;
  localparam int unsigned HeadDepth = 16;  // a page's head has 14 words
  localparam int unsigned PointerBits = 15;  // nibbles: as many as values, behind the head's front
  typedef logic [UnitBits-1:0] unit_t;
  typedef logic [PointerBits-1:0] pointer_t;

  tag_t tag;
  logic page_end;
  assign tag = row_i.row.tag;
  assign page_end = valid_i && tag.last;

  // ---- the page's place ----
  logic base_valid, base_ready;
  ring_addr_t base, at_q, at;
  logic [3:0] group_units, low_place;
  logic [4:0] head_units;
  page_cfg_t cfg;

  prim_fifo #(
      .Width(RingAddrBits),
      .Depth(4)
  ) u_bases (
      .clk_i,
      .rst_ni,
      .valid_i(first_valid_i),
      .ready_o(base_ready),
      .data_i(first_base_i),
      .valid_o(base_valid),
      .ready_i(page_end),
      .data_o(base),
      .count_o()
  );
  assign cfg = '{codec: CodecXpack, bf16: tag.bf16, tokens: tag.tokens, blocks: tag.blocks};
  assign head_units = xpack_head_units(cfg);
  assign group_units = tag.bf16 ? 4'd11 : 4'd14;
  assign low_place = tag.bf16 ? 4'd3 : 4'd6;
  assign at = tag.first ? base + RingAddrBits'(head_units) : at_q;

  // ---- groups ----
  logic [2:0] row_q;
  logic group_end, low_write;
  unit_t low_q, two_q, two, one_q, one, two_mid_q, two_mid, one_mid_q, one_mid;
  unit_t two_first_q, mid_first_q;
  unit_t [CodeUnits-1:0] aside_q;
  logic [1:0] aside_left_q;
  logic aside_half_q;
  ring_addr_t aside_addr_q;
  logic aside_write;

  assign group_end = valid_i && row_q == 3'd7;
  assign low_write = valid_i && row_q[0];
  // The newest bits come in at the top of each byte.
  always_comb begin
    for (int unsigned i = 0; i < Lanes; i++) begin
      two[8*i+:8] = {row_i.row.codes[i][1:0], two_q[8*i+2+:6]};
      one[8*i+:8] = {row_i.row.codes[i][2], one_q[8*i+1+:7]};
      two_mid[8*i+:8] = {row_i.row.middles[i][1:0], two_mid_q[8*i+2+:6]};
      one_mid[8*i+:8] = {row_i.row.middles[i][2], one_mid_q[8*i+1+:7]};
    end
  end
  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      row_q <= row_q + 3'd1;
      at_q <= group_end ? at + RingAddrBits'(group_units) : at;
      low_q <= row_i.row.lows;
      two_q <= two;
      one_q <= one;
      two_mid_q <= two_mid;
      one_mid_q <= one_mid;
      if (row_q == 3'd3) begin
        two_first_q <= two;
        mid_first_q <= two_mid;
      end
    end
    if (group_end) begin
      aside_q <= {one_mid, two_mid, mid_first_q, one, two, two_first_q};
      aside_left_q <= tag.bf16 ? 2'd2 : 2'd3;
      aside_half_q <= tag.bf16;
      aside_addr_q <= at;
    end else if (aside_write) begin
      aside_q <= {unit_t'(0), unit_t'(0), aside_q[CodeUnits-1:2]};
      aside_left_q <= aside_left_q - 2'd1;
      aside_addr_q <= aside_addr_q + RingAddrBits'(2);
    end
    if (!rst_ni) begin
      row_q <= '0;
      aside_left_q <= '0;
    end
  end

  // ---- lists: 1: pointers. 2: entries to their places. ----
  typedef struct packed {
    logic       valid;
    logic       first;
    logic       last;
    logic       full;       // the word behind which the pointer goes
    tag_t       tag;
    ring_addr_t base;
    pointer_t   pointer;    // before the beat
    pointer_t   after;
    pointer_t   far_at;
    pointer_t   far_after;
  } list_t;
  list_t list_d, list_1;
  pointer_t pointer_q, far_q;
  logic [Lanes-1:0][3:0] nibbles_1;
  logic [Lanes-1:0][7:0] entries_1;

  always_comb begin
    list_d.valid = valid_i && rst_ni;
    list_d.first = tag.first;
    list_d.last = tag.last;
    list_d.tag = tag;
    list_d.base = base;
    list_d.pointer = `MUT(133, tag.first, 1'b0) ? PointerBits'(list_of(tag.tokens, tag.blocks)) :
        pointer_q;
    list_d.after = list_d.pointer + PointerBits'(row_i.count);
    list_d.full = list_d.after[7] != list_d.pointer[7];
    list_d.far_at = tag.first ? '0 : far_q;
    list_d.far_after = list_d.far_at + PointerBits'(row_i.far_count);
  end
  always_ff @(posedge clk_i) begin
    list_1 <= list_d;
    nibbles_1 <= row_i.nibbles;
    entries_1 <= row_i.entries;
    if (valid_i) begin
      pointer_q <= list_d.after;
      far_q <= list_d.far_after;
    end
  end

  beat_t word_q, first_word_q, far_list_q;
  logic [BeatBits+4*Lanes-1:0] both;
  logic [3:0] front_word, words_1;
  logic in_front, list_push;

  assign front_word = 4'(list_of(list_1.tag.tokens, list_1.tag.blocks) >> 7);
  assign words_1 = 4'((end_of(list_1.tag.tokens, list_1.tag.blocks) + 12'd64) >> 7);
  assign in_front = list_1.pointer[PointerBits-1:7] == 8'(front_word);
  assign both = {(4 * Lanes)'(0), list_1.first ? beat_t'(0) : word_q} |
      ((BeatBits + 4 * Lanes)'(nibbles_1) << {list_1.pointer[6:0], 2'd0});
  assign list_push = list_1.valid && list_1.full && !in_front &&
      list_1.pointer[PointerBits-1:7] < 8'(words_1);
  always_ff @(posedge clk_i) begin
    if (list_1.valid) begin
      word_q <= list_1.full ? beat_t'(both[BeatBits+:4*Lanes]) : both[BeatBits-1:0];
      if (list_1.full && in_front) first_word_q <= both[BeatBits-1:0];
      far_list_q <= (list_1.first ? beat_t'(0) : far_list_q) |
          (list_1.far_at < PointerBits'(BeatBytes) ?
           beat_t'(entries_1) << {list_1.far_at[5:0], 3'd0} : beat_t'(0));
    end
  end

  // ---- offsets ----
  logic [7:0][127:0] offsets_q;
  logic first_token_q;
  logic [7:0] top_q, top_1;
  logic [7:0][127:0] offsets_1;
  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      if (tag.first || first_token_q) offsets_q[tag.beat] <= row_i.offsets;
      first_token_q <= (tag.first || first_token_q) && tag.beat != {tag.blocks, 1'b1};
      top_q <= row_i.top;
    end
    // Beside the lists: the next page's are on their way already.
    offsets_1 <= offsets_q;
    top_1 <= top_q;
    if (!rst_ni) first_token_q <= 1'b0;
  end

  // ---- the head, aside ----
  logic busy_q, end_2, writing_q;
  list_t end_list;
  logic [7:0][127:0] head_offsets_q;
  logic [7:0] head_top_q;
  beat_t head_far_q, head_first_q, head_last_q;
  tag_t head_tag_q;
  ring_addr_t head_base_q;
  pointer_t head_after_q, head_far_after_q;
  logic [3:0] head_word_q, head_words, head_front, head_last;
  logic [4:0] head_tag_units;
  logic no_room, head_step, head_push, queue_ready, queue_valid, pop, head_ends, between;
  logic [$clog2(HeadDepth):0] queue_count;
  logic [4*BeatBits-1:0] front;
  beat_t head_data;

  always_ff @(posedge clk_i) begin
    end_2 <= list_1.valid && list_1.last && rst_ni;
    end_list <= list_1;
    if (end_2) begin
      writing_q <= 1'b1;
      head_word_q <= '0;
      head_offsets_q <= offsets_1;
      head_top_q <= top_1;
      head_far_q <= far_list_q;
      head_first_q <= first_word_q;
      head_last_q <= word_q;
      head_tag_q <= end_list.tag;
      head_base_q <= end_list.base;
      head_after_q <= end_list.after;
      head_far_after_q <= end_list.far_after;
    end else if (head_step) begin
      head_word_q <= head_word_q + 4'd1;
      if (head_ends) writing_q <= 1'b0;
    end
    if (page_valid_i) busy_q <= 1'b1;
    else if (done_o) busy_q <= 1'b0;
    if (!rst_ni) begin
      writing_q <= 1'b0;
      busy_q <= `MUT(137, 1'b0, busy_q);
    end
  end
  assign page_ready_o = !busy_q;
  assign head_tag_units = xpack_head_units(
      '{
          codec: CodecXpack,
          bf16: head_tag_q.bf16,
          tokens: head_tag_q.tokens,
          blocks: head_tag_q.blocks
      }
  );
  assign head_words = 4'((6'(head_tag_units) + 6'd1) >> 1);
  assign head_front = 4'(list_of(head_tag_q.tokens, head_tag_q.blocks) >> 7);
  // The word in which the list ends; one behind all where it is longer.
  assign head_last = head_after_q[PointerBits-1:7] > 8'd14 ? 4'd15 : head_after_q[10:7];
  assign no_room = head_after_q > PointerBits'(end_of(
          head_tag_q.tokens, head_tag_q.blocks
      )) +
      `MUT(134, PointerBits'(0), PointerBits'(1))
      || head_far_after_q >
      `MUT(135, PointerBits'(xpack_values(head_tag_q.tokens, head_tag_q.blocks)), PointerBits'(64));
  always_comb begin
    unique case (head_tag_q.blocks)
      2'd0: front = (4 * BeatBits)'({head_far_q, head_top_q, head_offsets_q[1:0]});
      2'd1: front = (4 * BeatBits)'({head_far_q, head_top_q, head_offsets_q[3:0]});
      2'd2: front = (4 * BeatBits)'({head_far_q, head_top_q, head_offsets_q[5:0]});
      default: front = (4 * BeatBits)'({head_far_q, head_top_q, head_offsets_q[7:0]});
    endcase
    head_data = head_word_q[3:2] == '0 ? front[{head_word_q[1:0], 9'd0}+:BeatBits] : beat_t'(0);
    if (head_word_q == head_last) head_data |= head_last_q;
    else if (head_word_q == head_front) head_data |= head_first_q;
  end
  // Behind the last word comes the page's end, which writes nothing.
  assign head_ends = head_word_q == head_words;
  assign between = head_word_q > head_front && head_word_q < head_last;
  assign head_step = writing_q && queue_count < 5'd2 && !list_push;
  assign head_push = head_step && (head_ends || !between);

  // ---- words of heads, until there is a cycle for them ----
  typedef struct packed {
    logic       ends;
    refusal_e   refusal;
    logic [1:0] mask;
    ring_addr_t addr;
    beat_t      data;
  } word_t;
  word_t head_word, list_word, word;

  assign head_word = '{
          ends: head_ends,
          refusal: no_room ? RefusalNoRoom : RefusalNone,
          mask: {!head_tag_units[0] || head_word_q + 4'd1 != head_words, 1'b1} & {2{!head_ends}},
          addr: head_base_q + RingAddrBits'({head_word_q, 1'b0}),
          data: head_data
      };
  assign list_word = '{
          ends: 1'b0,
          refusal: RefusalNone,
          mask: 2'b11,
          addr: list_1.base + RingAddrBits'({list_1.pointer[PointerBits-1:7], 1'b0}),
          data: both[BeatBits-1:0]
      };
  prim_fifo #(
      .Width($bits(word_t)),
      .Depth(HeadDepth)
  ) u_head (
      .clk_i,
      .rst_ni,
      .valid_i(list_push || head_push),
      .ready_o(queue_ready),
      .data_i(list_push ? list_word : head_word),
      .valid_o(queue_valid),
      .ready_i(pop),
      .data_o(word),
      .count_o(queue_count)
  );

  // ---- writing ----
  assign aside_write = aside_left_q != '0 && !low_write;
  assign pop = queue_valid && ((!low_write && !aside_write) || word.ends);
  always_comb begin
    write_o = low_write || aside_write || (queue_valid && !word.ends);
    write_mask_o = 2'b11;
    write_addr_o = at + RingAddrBits'(low_place) + RingAddrBits'(row_q) - RingAddrBits'(1);
    write_data_o = {row_i.row.lows, low_q};
    if (aside_write) begin
      write_mask_o = {!(aside_half_q && aside_left_q == 2'd1), 1'b1};
      write_addr_o = aside_addr_q;
      write_data_o = aside_q[1:0];
    end else if (!low_write) begin
      write_mask_o = word.mask;
      write_addr_o = word.addr;
      write_data_o = word.data;
    end
  end
  assign done_o = pop && word.ends;
  assign refusal_o = word.refusal;

  logic unused;
  assign unused = ^{row_i.row.tag.buffer, end_list, head_tag_q};

  `SPECKV_ASSERT(XpackStoreHasBase, !valid_i || base_valid)
  `SPECKV_ASSERT(XpackStoreBasesHaveRoom, !first_valid_i || base_ready)
  `SPECKV_ASSERT(XpackStoreQueueHasRoom, !(list_push || head_push) || queue_ready)
  `SPECKV_ASSERT(XpackStoreCodesAreWritten, !group_end || aside_left_q == '0)
  `SPECKV_ASSERT(XpackStoreHeadIsWritten, !end_2 || !writing_q)
endmodule
