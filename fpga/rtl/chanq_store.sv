// SPDX-License-Identifier: Apache-2.0
// chanq_store - codes of steps to a chanq page in the page ring: chanq_fetch the other way round.
//
// The planes of a step are up to 64 bytes; they fill words up, in units of 2 bytes, and words leave
// when they are full, every other cycle at most. Anchors fill words beside them. What lies between,
// the word with the last anchors to the word with the first codes, leaves when the page is done and
// all drops are known, in the free cycles of the next page; and so does what the codes leave empty.
//
// Steps never wait. page_valid_i: the page's last step is on its way; page_ready_o: the page before
// is written, so that it may be. first_valid_i with what is known of the page, before its first
// step. Any widths end the page, inside of its room. done_o with its refusal: all is written.
`include "speckv_check.svh"

module chanq_store
  import speckv_pkg::*;
  import chanq_pkg::*;
(
    input  logic                        clk_i,
    input  logic                        rst_ni,
    input  logic                        page_valid_i,
    output logic                        page_ready_o,
    input  logic                        first_valid_i,
    input  encoded_t                    first_page_i,
    input  logic                        valid_i,
    input  quant_t                      step_i,
    input  side_t      [      1:0]      sides_i,
    input  logic       [Lanes-1:0][7:0] codes_i,
    output logic                        write_o,
    output logic       [      1:0]      write_mask_o,
    output ring_addr_t                  write_addr_o,
    output beat_t                       write_data_o,
    output logic                        done_o,
    output refusal_e                    refusal_o
);
  localparam int unsigned WordBits = 9;  // of a page; more where widths are not the page's own
  localparam int unsigned PointerBits = WordBits + 5;  // units of 2 bytes
  typedef logic [WordBits-1:0] word_t;
  typedef logic [PointerBits-1:0] pointer_t;
  typedef logic [Lanes-1:0] plane_t;

  function automatic word_t words_of(input page_cfg_t cfg);
    return WordBits'((page_units(cfg) + PageUnitBits'(1)) >> 1);
  endfunction

  // ---- 1: planes, highest bit first; the lower tokens of 64 wait for the upper ones ----
  beat_t block, block_1, lower_q;
  logic [5:0] size_1;
  logic valid_1;
  quant_t step_1;
  side_t [1:0] sides_1;

  always_comb begin
    logic [127:0] first, second;
    block = '0;
    first = '0;
    second = '0;
    for (int unsigned p = 0; p < 8; p++) begin
      plane_t plane;
      for (int unsigned i = 0; i < Lanes; i++) plane[i] = codes_i[i][7-p];
      if (4'(p) < sides_i[0].width) begin
        if (step_i.tokens == 2'd1) block[32*p+:32] = plane;
        if (step_i.tokens == 2'd2) block[64*p+32*step_i.half+:32] = plane;
        first[16*p+:16] = plane[15:0];
      end
      if (4'(p) < sides_i[1].width) second[16*p+:16] = plane[31:16];
    end
    if (step_i.tokens == 2'd0)
      block = beat_t'(first) | (beat_t'(second) << {sides_i[0].width, 4'd0});
    if (step_i.tokens == 2'd2 && step_i.half) block |= lower_q;
  end
  always_ff @(posedge clk_i) begin
    valid_1 <= valid_i && rst_ni;
    step_1 <= step_i;
    sides_1 <= sides_i;
    if (valid_i) lower_q <= block;
    block_1 <= block;
    unique case (step_i.tokens)
      2'd0: size_1 <= 6'(sides_i[0].width) + 6'(sides_i[1].width);
      2'd1: size_1 <= {1'b0, sides_i[0].width, 1'b0};
      default: size_1 <= {sides_i[0].width, 2'b00};
    endcase
  end

  // ---- 2: into words ----
  logic page_valid, page_room, fills, full, code_write, end_q;
  encoded_t page;
  pointer_t pointer_q, pointer, after;
  word_t word, first_word;
  logic [2*BeatBits-1:0] both;
  beat_t word_q, first_word_q;

  prim_fifo #(
      .Width($bits(encoded_t)),
      .Depth(4)
  ) u_pages (
      .clk_i,
      .rst_ni,
      .valid_i(first_valid_i),
      .ready_o(page_room),
      .data_i(first_page_i),
      .valid_o(page_valid),
      .ready_i(valid_1 && step_1.last),
      .data_o(page),
      .count_o()
  );
  encoded_t ended_q;  // the page whose last step was here in the cycle before
  logic [5:0] side_start;
  assign side_start = side_words(step_1.blocks);
  assign fills = valid_1 && (step_1.tokens != 2'd2 || step_1.half);
  assign pointer = step_1.first ? pointer_t'({side_start, 2'b00}) : pointer_q;
  assign after = fills ? pointer + pointer_t'(size_1) : pointer;
  assign full = fills && after[5] != pointer[5];
  assign word = pointer[PointerBits-1:5];
  assign first_word = word_t'(side_start[5:3]);
  assign both = {beat_t'(0), step_1.first ? beat_t'(0) : word_q} |
      ((2 * BeatBits)'(fills ? block_1 : beat_t'(0)) << {pointer[4:0], 4'd0});
  assign code_write = full && word != first_word && word < words_of(page.cfg);
  always_ff @(posedge clk_i) begin
    if (valid_1) begin
      pointer_q <= after;
      word_q <= full ? both[BeatBits+:BeatBits] : both[BeatBits-1:0];
      if (full && word == first_word) first_word_q <= both[BeatBits-1:0];
    end
    end_q <= valid_1 && step_1.last && rst_ni;
    ended_q <= page;
  end

  // ---- anchors and drops ----
  logic [BeatBytes-1:0][7:0] anchors_q, anchors;
  logic [DropPlanes-1:0][Channels-1:0] drops_q;
  logic anchors_full, anchor_wait_q, anchor_write;
  beat_t anchor_word_q;
  ring_addr_t anchor_addr_q;
  logic [8:0] anchor_at;

  assign anchor_at = {1'b0, step_1.channel} + 9'd8;
  always_comb begin
    anchors = anchors_q;
    if (step_1.first) anchors[7:0] = {40'd0, 6'd0, step_1.grain, 1'b0, step_1.top, page.field};
    anchors[anchor_at[5:0]] = sides_1[0].anchor;
    if (step_1.tokens == 2'd0) anchors[{anchor_at[5:1], 1'b1}] = sides_1[1].anchor;
  end
  assign anchors_full = valid_1 && !step_1.half && anchor_at[5:1] == '1 &&
      (step_1.tokens == 2'd0 || anchor_at[0]);
  always_ff @(posedge clk_i) begin
    if (valid_1) begin
      anchors_q <= anchors;
      for (int unsigned p = 0; p < DropPlanes; p++) begin
        drops_q[p][step_1.channel] <= sides_1[0].drop[`MUT(150, DropPlanes-1-p, p)];
        if (step_1.tokens == 2'd0)
          drops_q[p][{step_1.channel[7:1], 1'b1}] <= sides_1[1].drop[DropPlanes-1-p];
      end
    end
    if (anchors_full) begin
      anchor_wait_q <= 1'b1;
      anchor_word_q <= anchors;
      anchor_addr_q <= page.base[RingAddrBits-1:0] + RingAddrBits'({anchor_at[8:6], 1'b0});
    end else if (anchor_write) anchor_wait_q <= 1'b0;
    if (!rst_ni) anchor_wait_q <= 1'b0;
  end

  // ---- what leaves when the page is done ----
  logic busy_q, tail_q, tail_write;
  encoded_t tail_page_q;
  word_t at_q, tail_first, tail_last_q;
  beat_t tail_first_q, tail_word_q, tail_data;
  logic [DropPlanes-1:0][Channels-1:0] tail_drops_q;
  logic [63:0] tail_anchors_q;
  logic [3*BeatBits-1:0] sides;
  word_t side_at;
  logic [5:0] tail_start;
  assign tail_start = side_words(tail_page_q.cfg.blocks);

  assign tail_first = word_t'(tail_start[5:3]);
  always_ff @(posedge clk_i) begin
    if (end_q) begin
      tail_q <= 1'b1;
      tail_page_q <= ended_q;
      at_q <= word_t'(ended_q.cfg.blocks) + word_t'(1);
      tail_last_q <= pointer_q[PointerBits-1:5];
      tail_first_q <= first_word_q;
      tail_word_q <= word_q;
      tail_drops_q <= drops_q;
      tail_anchors_q <= anchors_q[7:0];
    end else begin
      if (tail_write)
        at_q <= at_q == tail_first && tail_last_q > tail_first ? tail_last_q : at_q + word_t'(1);
      if (done_o) tail_q <= 1'b0;
    end
    if (page_valid_i) busy_q <= 1'b1;
    else if (done_o) busy_q <= 1'b0;
    if (!rst_ni) begin
      tail_q <= 1'b0;
      busy_q <= `MUT(153, 1'b0, busy_q);
    end
  end
  assign page_ready_o = !busy_q;
  always_comb begin
    sides = (3 * BeatBits)'(tail_anchors_q);
    for (int unsigned p = 0; p < DropPlanes; p++) begin
      unique case (tail_page_q.cfg.blocks)
        2'd0: sides[64+64*p+:64] = tail_drops_q[p][63:0];
        2'd1: sides[64+128*p+:128] = tail_drops_q[p][127:0];
        2'd2: sides[64+192*p+:192] = tail_drops_q[p][191:0];
        default: sides[64+256*p+:256] = tail_drops_q[p];
      endcase
    end
    side_at = at_q - word_t'(tail_page_q.cfg.blocks) - word_t'(1);
    tail_data = side_at < word_t'(3) ? sides[{side_at[1:0], 9'd0}+:BeatBits] : beat_t'(0);
    if (at_q == tail_last_q) tail_data |= tail_word_q;
    else if (at_q == tail_first) tail_data |= tail_first_q;
  end

  // ---- writing ----
  logic tail_ends;
  assign anchor_write = anchor_wait_q && !code_write;
  assign tail_ends = at_q >= words_of(tail_page_q.cfg);
  assign tail_write = tail_q && !tail_ends && !code_write && !anchor_wait_q;
  assign done_o = tail_q && tail_ends && !anchor_wait_q;
  assign refusal_o = `MUT(
          154,
          tail_page_q.refusal,
          tail_page_q.refusal != RefusalNone ? RefusalOutOfRange : RefusalNone);
  always_comb begin
    word_t written;
    page_units_t size;
    ring_addr_t base;
    written = code_write ? word : at_q;
    size = page_units(code_write ? page.cfg : tail_page_q.cfg);
    base = code_write ? page.base[RingAddrBits-1:0] : tail_page_q.base[RingAddrBits-1:0];
    write_o = code_write || anchor_write || tail_write;
    write_mask_o = {PageUnitBits'({written, 1'b1}) < size, 1'b1};
    write_addr_o = base + RingAddrBits'({written, 1'b0});
    write_data_o = code_write ? both[BeatBits-1:0] : tail_data;
    if (anchor_write) begin
      write_mask_o = 2'b11;
      write_addr_o = anchor_addr_q;
      write_data_o = anchor_word_q;
    end
  end

  logic unused;
  assign unused = ^{step_1, tail_page_q, tail_start};

  `SPECKV_ASSERT(ChanqStoreHasPage, !valid_1 || page_valid)
  `SPECKV_ASSERT(ChanqStorePagesHaveRoom, !first_valid_i || page_room)
  `SPECKV_ASSERT(ChanqStoreAnchorsAreWritten, !anchors_full || !anchor_wait_q || anchor_write)
  `SPECKV_ASSERT(ChanqStoreTailIsWritten, !end_q || !tail_q)
endmodule
