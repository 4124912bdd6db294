// SPDX-License-Identifier: Apache-2.0
// chanq_decode - chanq pages of the page ring to raw beats: a decoder core with tables.
//
// Two passes, each on its own page: chanq_fetch cuts a page into the corner turn, two codes to a
// word; then the page leaves token by token: middle of the cell, reach and anchor
// (chanq_value), the turn (chanq_turn). Pages of any of its codecs, back to back, one raw beat a
// cycle. The second pass takes a token whole, when the queue behind it has room for it;
// nothing inside stalls. From the beat that is chosen to the queue: 23 cycles.
//
// Beside the page's configuration stand its widths and how RoPE turned it. Tables of turns
// are loaded while no page is inside that uses them.
`include "speckv_check.svh"

module chanq_decode
  import speckv_pkg::*;
  import chanq_pkg::*;
(
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             turn_write_i,
    input  logic       [9:0] turn_addr_i,
    input  beat_t            turn_data_i,
    input  logic             page_valid_i,
    input  page_cfg_t        page_cfg_i,
    input  ring_addr_t       page_base_i,
    input  rope_t            page_rope_i,
    input  widths_t          page_widths_i,
    output logic             page_done_o,
    output logic             read_o,
    output logic             read_half_o,
    output ring_addr_t       read_addr_o,
    input  logic             read_grant_i,
    input  beat_t            read_data_i,
    output logic             valid_o,
    input  logic             ready_i,
    output beat_t            beat_o,
    output logic             last_o          // beat of its page
);
  localparam int unsigned QueueDepth = 64;
  localparam int unsigned CountBits = $clog2(QueueDepth + 1);
  localparam int unsigned TokenBeats = 8;  // at most
  localparam int unsigned Unpack = 4;  // cycles of the last step on its way to the corner turn

  typedef struct packed {
    rope_t      rope;
    logic       bf16;
    logic [1:0] tokens;
    logic [1:0] blocks;
  } page_t;

  // ---- first pass ----
  logic fill, step_valid, words_valid;
  side_tag_t side;
  beat_t side_data, window;
  step_t step;
  logic [Lanes-1:0][8:0] addrs;
  logic [Lanes-1:0][17:0] words;
  logic [1:0] full_q, ready_q;
  page_t page_q[2];

  chanq_fetch u_fetch (
      .clk_i,
      .rst_ni,
      .page_valid_i,
      .page_cfg_i,
      .page_base_i,
      .page_widths_i,
      .page_done_o,
      .read_o,
      .read_half_o,
      .read_addr_o,
      .read_grant_i,
      .read_data_i,
      .room_i(!full_q[fill]),
      .fill_o(fill),
      .side_o(side),
      .side_data_o(side_data),
      .step_valid_o(step_valid),
      .step_o(step),
      .window_o(window)
  );
  chanq_unpack u_unpack (
      .clk_i,
      .rst_ni,
      .valid_i(step_valid),
      .step_i(step),
      .window_i(window),
      .valid_o(words_valid),
      .addr_o(addrs),
      .words_o(words)
  );

  // ---- buffers, and the beat that is chosen ----
  logic leave_q, take, room, available, token_end, page_end, give;
  logic [CountBits-1:0] used;
  logic [5:0] token_q;
  logic [2:0] beat_q;
  page_t page;
  logic [Unpack-1:0] drain_q;
  logic drained_q;  // the buffer whose codes are in the corner turn next

  assign page = page_q[leave_q];
  assign token_end = beat_q == {page.blocks, 1'b1};
  assign page_end = token_end && token_q == 6'((7'd16 << page.tokens) - 7'd1);
  assign room = used <= CountBits'(QueueDepth - `MUT(88, TokenBeats, 0)) && available;
  assign take = ready_q[leave_q] && (room || beat_q != '0);

  always_ff @(posedge clk_i) begin
    drain_q <= {drain_q[Unpack-2:0], page_done_o};
    if (page_done_o) begin
      full_q[fill] <= 1'b1;
      page_q[fill] <= '{
          rope: page_rope_i,
          bf16: page_cfg_i.bf16,
          tokens: page_cfg_i.tokens,
          blocks: page_cfg_i.blocks
      };
    end
    if (`MUT(90, drain_q[Unpack-1], drain_q[0])) begin
      ready_q[drained_q] <= 1'b1;
      drained_q <= !drained_q;
    end
    if (take) begin
      beat_q <= token_end ? 3'd0 : beat_q + 3'd1;
      if (token_end) token_q <= page_end ? 6'd0 : token_q + 6'd1;
      if (page_end) begin
        full_q[leave_q] <= 1'b0;
        ready_q[leave_q] <= 1'b0;
        leave_q <= !leave_q;
      end
    end
    if (!rst_ni) begin
      drain_q <= '0;
      drained_q <= 1'b0;
      full_q <= '0;
      ready_q <= '0;
      token_q <= '0;
      beat_q <= '0;
      leave_q <= 1'b0;
    end
  end

  prim_credit #(
      .Credits(QueueDepth)
  ) u_credit (
      .clk_i,
      .rst_ni,
      .take_i(take),
      .give_i(give),
      .available_o(available),
      .used_o(used)
  );

  // ---- second pass ----
  middle_t [Lanes-1:0] middles;
  turned_t [Lanes-1:0] values;
  logic [Lanes-1:0][7:0] anchors;
  logic [Lanes-1:0][6:0] reaches;
  logic [7:0] field, field_value;
  tag_t tag, tag_value;
  logic [5:0] valid_q;
  logic made_valid, made_last, queue_ready;
  beat_t made;

  assign tag = '{
          last: page_end,
          bf16: page.bf16,
          beat: beat_q,
          token: token_q,
          rope: page.rope
      };
  always_ff @(posedge clk_i) valid_q <= rst_ni ? {valid_q[4:0], take} : '0;

  chanq_corner u_corner (
      .clk_i,
      .write_i(words_valid),
      .write_addr_i(addrs),
      .write_words_i(words),
      .buffer_i(leave_q),
      .tokens_i(page.tokens),
      .token_i(token_q),
      .beat_i(beat_q),
      .middles_o(middles)
  );
  chanq_sides u_sides (
      .clk_i,
      .side_i(side),
      .side_data_i(side_data),
      .buffer_i(leave_q),
      .bf16_i(page.bf16),
      .beat_i(beat_q),
      .field_o(field),
      .anchors_o(anchors),
      .reaches_o(reaches)
  );
  chanq_value u_value (
      .clk_i,
      .middles_i(middles),
      .anchors_i(anchors),
      .reaches_i(reaches),
      .values_o(values)
  );
  prim_delay #(
      .Width($bits(tag_t)),
      .Cycles(6)
  ) u_tag (
      .clk_i,
      .data_i(tag),
      .data_o(tag_value)
  );
  prim_delay #(
      .Width(8),
      .Cycles(3)
  ) u_field (
      .clk_i,
      .data_i(field),
      .data_o(field_value)
  );
  chanq_turn u_turn (
      .clk_i,
      .rst_ni,
      .turn_write_i,
      .turn_addr_i,
      .turn_data_i,
      .valid_i(valid_q[5]),
      .tag_i(tag_value),
      .field_i(field_value),
      .values_i(values),
      .valid_o(made_valid),
      .last_o(made_last),
      .values_o(made)
  );
  prim_fifo #(
      .Width(BeatBits + 1),
      .Depth(QueueDepth)
  ) u_queue (
      .clk_i,
      .rst_ni,
      .valid_i(made_valid),
      .ready_o(queue_ready),
      .data_i({made_last, made}),
      .valid_o,
      .ready_i,
      .data_o({last_o, beat_o}),
      .count_o()
  );
  assign give = valid_o && ready_i;

  `SPECKV_ASSERT(ChanqDecodeQueueHasRoom, !made_valid || queue_ready)
  `SPECKV_ASSERT(ChanqDecodeReadyIsFull, (ready_q & ~full_q) == '0)
endmodule
