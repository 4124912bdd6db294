// SPDX-License-Identifier: Apache-2.0
// xpack_encode - raw beats to xpack pages in the page ring: an encoder core of a lane, two passes.
//
// First pass: a page waits in page_queue while the largest exponent of each channel, and of the
// page, is found. Second pass: a beat a cycle through xpack_pack (9 cycles) into xpack_store. The
// passes work on neighbouring pages, so pages of one shape go back to back, one raw beat a cycle.
// First beat in to done_o: twice the page's beats and about 40 cycles.
//
// A page is handed out before the ring has room for it; its second pass begins when it has (left_i:
// units that have left the ring). done_o and refusal_o come in page order.
`include "speckv_check.svh"

module xpack_encode
  import speckv_pkg::*;
  import xpack_pkg::*;
(
    input  logic              clk_i,
    input  logic              rst_ni,
    input  logic              page_valid_i,
    output logic              page_ready_o,
    input  page_cfg_t         page_cfg_i,
    input  ring_count_t       page_base_i,
    input  ring_count_t       left_i,
    input  logic              valid_i,
    output logic              ready_o,
    input  beat_t             beat_i,
    output logic              write_o,
    output logic        [1:0] write_mask_o,
    output ring_addr_t        write_addr_o,
    output beat_t             write_data_o,
    output logic              done_o,
    output refusal_e          refusal_o
);
  // Pages between the first beat of the first pass and the last of the second.
  localparam int unsigned Sets = 4;
  localparam int unsigned TopCycles = 5;  // from a page's last beat to its largest exponent

  typedef struct packed {
    page_cfg_t   cfg;
    ring_count_t base;
  } page_t;

  // ---- first pass ----
  logic page_valid, queue_ready, take, page_end;
  page_t page;
  page_units_t beat_q;
  logic [2:0] column_q;  // beat of its token
  logic [1:0] set_q, second_set_q;
  logic [2:0] scanned_count;

  prim_fifo #(
      .Width($bits(page_t)),
      .Depth(2)
  ) u_pages (
      .clk_i,
      .rst_ni,
      .valid_i(page_valid_i),
      .ready_o(page_ready_o),
      .data_i({page_cfg_i, page_base_i}),
      .valid_o(page_valid),
      .ready_i(take && page_end),
      .data_o(page),
      .count_o()
  );
  logic [TopCycles-1:0] end_q;
  logic [2:0] ended_q;  // pages whose first pass is over, and the second not
  logic scanned_end, top_known;
  assign top_known = end_q[`MUT(139, TopCycles-1, TopCycles-2)];
  assign ready_o = page_valid && queue_ready && ended_q < 3'(Sets - 1);
  assign take = valid_i && ready_o;
  assign page_end = beat_q + 11'd1 == page_beats(page.cfg);

  always_ff @(posedge clk_i) begin
    if (take) begin
      beat_q <= page_end ? '0 : beat_q + 11'd1;
      column_q <= column_q == {page.cfg.blocks, 1'b1} ? 3'd0 : column_q + 3'd1;
      if (page_end) set_q <= set_q + 2'd1;
    end
    ended_q <= ended_q + 3'(take && page_end) - 3'(scanned_end);
    end_q <= rst_ni ? {end_q[TopCycles-2:0], take && page_end} : '0;
    if (!rst_ni) begin
      beat_q <= '0;
      column_q <= '0;
      set_q <= '0;
      ended_q <= '0;
    end
  end

  // 1: exponents. 2: the channels' largest so far; 3: larger. 5: the page's (page_top).
  typedef struct packed {
    logic       valid;
    logic       fresh;  // of the first token
    logic [4:0] row;
  } mark_t;
  mark_t mark_1, mark_2;
  logic [Lanes-1:0][7:0] field_1, field_2, best_2;
  logic [7:0] top_5;

  for (genvar i = 0; i < Lanes; i++) begin : gen_channel
    logic [7:0] best_q[8*Sets];
    always_ff @(posedge clk_i) begin
      best_2[i] <= best_q[mark_1.row];
      if (mark_2.valid)
        best_q[mark_2.row] <= mark_2.fresh || field_2[i] > best_2[i] ? field_2[i] : best_2[i];
    end
  end
  always_ff @(posedge clk_i) begin
    mark_1 <= '{
        valid: take && rst_ni,
        fresh: beat_q < PageUnitBits'({page.cfg.blocks, 1'b1}) + 11'd1,
        row: {set_q, column_q}
    };
    mark_2 <= mark_1;
    for (int unsigned i = 0; i < Lanes; i++)
    field_1[i] <= xpack_field(beat_i[16*i+:16], page.cfg.bf16);
    field_2 <= field_1;
  end
  page_top u_top (
      .clk_i,
      .rst_ni,
      .valid_i(take),
      .first_i(beat_q == '0),
      .bf16_i(page.cfg.bf16),
      .beat_i,
      .top_o(top_5)
  );

  // ---- pages between the passes ----
  logic scanned_valid, ended_ready, ended_valid, scanned_ready;
  page_t ended, scanned;
  logic [7:0] top;

  prim_fifo #(
      .Width($bits(page_t)),
      .Depth(Sets)
  ) u_ended (
      .clk_i,
      .rst_ni,
      .valid_i(take && page_end),
      .ready_o(ended_ready),
      .data_i(page),
      .valid_o(ended_valid),
      .ready_i(top_known),
      .data_o(ended),
      .count_o()
  );
  prim_fifo #(
      .Width($bits(page_t) + 8),
      .Depth(Sets)
  ) u_scanned (
      .clk_i,
      .rst_ni,
      .valid_i(top_known),
      .ready_o(scanned_ready),
      .data_i({ended, top_5}),
      .valid_o(scanned_valid),
      .ready_i(scanned_end),
      .data_o({scanned, top}),
      .count_o(scanned_count)
  );

  // ---- second pass ----
  logic begun_q, room, store_ready, go, last;
  page_units_t at_q;
  logic [2:0] out_column_q;
  tag_t tag;
  ring_count_t page_after;

  assign page_after = scanned.base + ring_count_t'(page_units(scanned.cfg)) - left_i;
  assign room = begun_q || page_after <= `MUT(136, ring_count_t'(RingUnits), '1);
  assign last = at_q + 11'd1 == page_beats(scanned.cfg);
  assign go = scanned_valid && room && (!last || store_ready);
  assign scanned_end = go && last;
  assign tag = '{
          first: at_q == '0,
          last: last,
          buffer: 1'b0,
          bf16: scanned.cfg.bf16,
          tokens: scanned.cfg.tokens,
          blocks: scanned.cfg.blocks,
          beat: out_column_q
      };
  always_ff @(posedge clk_i) begin
    if (go) begin
      begun_q <= !last;
      at_q <= last ? '0 : at_q + 11'd1;
      out_column_q <= out_column_q == {scanned.cfg.blocks, 1'b1} ? 3'd0 : out_column_q + 3'd1;
      if (last) second_set_q <= second_set_q + 2'd1;
    end
    if (!rst_ni) begin
      begun_q <= 1'b0;
      at_q <= '0;
      out_column_q <= '0;
      second_set_q <= '0;
    end
  end

  beat_t beat;
  page_queue u_queue (
      .clk_i,
      .rst_ni,
      .write_i(take),
      .ready_o(queue_ready),
      .beat_i,
      .read_i(go),
      .beat_o(beat)
  );

  // The channels' largest exponents: 1: of the beat; 2: what is stored of them.
  logic valid_1, valid_2;
  tag_t tag_1, tag_2;
  logic [7:0] top_1, own_top;
  logic [Lanes-1:0][7:0] own_1, base_2;
  logic [Lanes-1:0][3:0] offset_2;

  for (genvar i = 0; i < Lanes; i++) begin : gen_own
    always_ff @(posedge clk_i) own_1[i] <= gen_channel[i].best_q[{second_set_q, out_column_q}];
  end
  always_ff @(posedge clk_i) begin
    valid_1 <= go && rst_ni;
    tag_1 <= tag;
    top_1 <= top;
    valid_2 <= valid_1 && rst_ni;
    tag_2 <= tag_1;
    own_top <= top_1;
    for (int unsigned i = 0; i < Lanes; i++) begin
      logic [7:0] below;
      below = top_1 - own_1[i];
      if (below >= 8'(SmallestOffset)) begin
        offset_2[i] <= SmallestOffset;
        base_2[i] <= 8'd6;
      end else begin
        offset_2[i] <= below[3:0];
        base_2[i] <= own_1[i];
      end
    end
  end

  logic packed_valid;
  packed_t packed_row;
  xpack_pack u_pack (
      .clk_i,
      .rst_ni,
      .valid_i(valid_2),
      .tag_i(tag_2),
      .top_i(own_top),
      .offsets_i(offset_2),
      .bases_i(base_2),
      .values_i(beat),
      .valid_o(packed_valid),
      .row_o(packed_row)
  );
  xpack_store u_store (
      .clk_i,
      .rst_ni,
      .page_valid_i(scanned_end),
      .page_ready_o(store_ready),
      .first_valid_i(go && at_q == '0),
      .first_base_i(scanned.base[RingAddrBits-1:0]),
      .valid_i(packed_valid),
      .row_i(packed_row),
      .write_o,
      .write_mask_o,
      .write_addr_o,
      .write_data_o,
      .done_o,
      .refusal_o
  );

  logic unused;
  assign unused = ^{scanned_count, scanned.cfg.codec};

  `SPECKV_ASSERT(XpackEncodeCodec, !page_valid_i || page_cfg_i.codec == CodecXpack)
  `SPECKV_ASSERT(
      XpackEncodeQueuesHaveRoom,
      (!(take && page_end) || ended_ready) && (!top_known || (scanned_ready && ended_valid)))
endmodule
