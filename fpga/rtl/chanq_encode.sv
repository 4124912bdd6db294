// SPDX-License-Identifier: Apache-2.0
// chanq_encode - raw beats to chanq pages in the page ring: an encoder core with tables, of three
// passes.
//
// First: a page waits in page_queue while its largest exponent is found (page_top). Second, token
// by token: fixed point, turned back (chanq_back), into chanq_rows; each channel's least and
// largest. Between: a fit for two channels a cycle (chanq_fit), the page's largest reach, its grain
// (chanq_grain). Third, channel by channel: codes (chanq_quantise), planes (chanq_store). Passes
// work on neighbouring pages, each a beat or a step of 32 values a cycle, so pages of one shape go
// back to back. First beat in to done_o: three times the page's beats, half of head_dim, and about
// 70 cycles.
//
// A page is handed out before the ring has room for it; its third pass begins when it has (left_i).
// Beside it stand how RoPE turned its head and the slot of its widths. Tables are loaded while no
// page is inside that uses them. done_o and refusal_o come in page order.
`include "speckv_check.svh"

module chanq_encode
  import speckv_pkg::*;
  import engine_pkg::*;
  import chanq_pkg::*;
(
    input  logic               clk_i,
    input  logic               rst_ni,
    input  table_write_t       table_write_i,
    input  logic               page_valid_i,
    output logic               page_ready_o,
    input  page_cfg_t          page_cfg_i,
    input  ring_count_t        page_base_i,
    input  rope_t              page_rope_i,
    input  logic         [7:0] page_slot_i,
    input  ring_count_t        left_i,
    input  logic               valid_i,
    output logic               ready_o,
    input  beat_t              beat_i,
    output logic               write_o,
    output logic         [1:0] write_mask_o,
    output ring_addr_t         write_addr_o,
    output beat_t              write_data_o,
    output logic               done_o,
    output refusal_e           refusal_o
);
  localparam int unsigned Waiting = 4;  // pages between two passes
  localparam int unsigned BackCycles = 14;  // 2 out of page_queue, 12 in chanq_back
  localparam int unsigned FitCycles = 10;

  // What the second pass knows of a beat's page, and where its values go.
  typedef struct packed {
    logic [1:0] tokens;
    logic [2:0] slot;    // of chanq_rows
    logic [1:0] ranges;  // set of least and largest values
  } place_t;
  typedef struct packed {
    place_t   place;
    encoded_t page;
  } turned_page_t;
  typedef struct packed {
    logic [2:0] slot;
    logic [1:0] fits;  // set of fits
    encoded_t   page;
  } fitted_t;

  // ---- first pass ----
  logic back, back_end, scanned_valid;
  scanned_t scanned;
  beat_t back_beat;

  chanq_scan u_scan (
      .clk_i,
      .rst_ni,
      .page_valid_i,
      .page_ready_o,
      .page_cfg_i,
      .page_base_i,
      .page_rope_i,
      .page_slot_i,
      .valid_i,
      .ready_o,
      .beat_i,
      .scanned_valid_o(scanned_valid),
      .scanned_o(scanned),
      .read_i(back),
      .beat_o(back_beat),
      .done_i(back_end)
  );

  // ---- second pass ----
  logic back_begun_q, back_room, sixty_four, class_q, third_end, fit_end;
  page_units_t back_q;
  logic [2:0] column_q, slot_q, slots_q, ranges_used_q;
  logic [5:0] token_q;
  logic [1:0] ranges_q;
  tag_t back_tag;
  place_t back_place;

  assign sixty_four = scanned.page.cfg.tokens == 2'd2;
  // Pages of 64 tokens and of fewer do not share chanq_rows.
  assign back_room = back_begun_q ||
      (ranges_used_q < 3'd4 &&
       (slots_q == '0 || (sixty_four == class_q && slots_q < (sixty_four ? 3'd3 : 3'd6))));
  assign back = scanned_valid && back_room;
  assign back_end = back && back_q + 11'd1 == page_beats(scanned.page.cfg);
  assign back_tag = '{
          last: back_end,
          bf16: scanned.page.cfg.bf16,
          beat: column_q,
          token: token_q,
          rope: scanned.page.rope
      };
  assign back_place = '{
          tokens: scanned.page.cfg.tokens,
          slot: !back_begun_q && slots_q == '0 ? 3'd0 : slot_q,
          ranges: ranges_q
      };
  always_ff @(posedge clk_i) begin
    if (back) begin
      back_begun_q <= !back_end;
      back_q <= back_end ? '0 : back_q + 11'd1;
      column_q <= column_q == {scanned.page.cfg.blocks, 1'b1} ? 3'd0 : column_q + 3'd1;
      if (column_q == {scanned.page.cfg.blocks, 1'b1}) token_q <= back_end ? '0 : token_q + 6'd1;
      slot_q <= back_place.slot;
    end
    if (back_end) begin
      slot_q <= back_place.slot == (sixty_four ? 3'd2 : 3'd5) ? 3'd0 : back_place.slot + 3'd1;
      ranges_q <= ranges_q + 2'd1;
    end
    if (back && !back_begun_q) class_q <= sixty_four;
    slots_q <= slots_q + 3'(back && !back_begun_q) - 3'(third_end);
    ranges_used_q <= ranges_used_q + 3'(back && !back_begun_q) - 3'(fit_end);
    if (!rst_ni) begin
      back_begun_q <= 1'b0;
      back_q <= '0;
      column_q <= '0;
      token_q <= '0;
      slot_q <= '0;
      slots_q <= '0;
      ranges_q <= '0;
      ranges_used_q <= '0;
    end
  end

  logic back_valid_1, back_valid_2, turned_valid;
  tag_t back_tag_1, back_tag_2, turned_tag;
  logic [7:0] field_1, field_2;
  fixed_t [Lanes-1:0] turned;
  turned_page_t back_page, turned_page;

  always_ff @(posedge clk_i) begin
    back_valid_1 <= back && rst_ni;
    back_valid_2 <= back_valid_1 && rst_ni;
    back_tag_1 <= back_tag;
    back_tag_2 <= back_tag_1;
    field_1 <= scanned.page.field;
    field_2 <= field_1;
  end
  chanq_back u_back (
      .clk_i,
      .rst_ni,
      .turn_write_i(table_write_i.valid && table_write_i.addr < TableAddrBits'(2 * TurnBeats)),
      .turn_addr_i(table_write_i.addr[$clog2(2*TurnBeats)-1:0]),
      .turn_data_i(table_write_i.data),
      .valid_i(back_valid_2),
      .tag_i(back_tag_2),
      .field_i(field_2),
      .values_i(back_beat),
      .valid_o(turned_valid),
      .tag_o(turned_tag),
      .values_o(turned)
  );
  assign back_page = '{place: back_place, page: scanned.page};
  prim_delay #(
      .Width($bits(turned_page_t)),
      .Cycles(BackCycles)
  ) u_back_page (
      .clk_i,
      .data_i(back_page),
      .data_o(turned_page)
  );

  // ---- least and largest: 1: so far; 2: with this token's ----
  typedef struct packed {
    fixed_t low;
    fixed_t high;
  } range_t;
  logic range_valid_1, range_fresh_1;
  logic [4:0] range_row_1;
  fixed_t [Lanes-1:0] value_1;
  range_t [Lanes-1:0] range_1;
  logic [2:0] fit_row;
  range_t [Lanes-1:0] fit_ranges;
  turned_page_t fitting;

  always_ff @(posedge clk_i) begin
    range_valid_1 <= turned_valid && rst_ni;
    range_fresh_1 <= turned_tag.token == '0;
    range_row_1 <= {turned_page.place.ranges, turned_tag.beat};
    value_1 <= turned;
  end
  for (genvar i = 0; i < Lanes; i++) begin : gen_range
    range_t ranges[32];
    always_ff @(posedge clk_i) begin
      range_1[i] <= ranges[{turned_page.place.ranges, turned_tag.beat}];
      if (range_valid_1)
        ranges[range_row_1] <= '{
            low: range_fresh_1 || value_1[i] < range_1[i].low ? value_1[i] : range_1[i].low,
            high: range_fresh_1 || value_1[i] > range_1[i].high ? value_1[i] : range_1[i].high
        };
    end
    assign fit_ranges[i] = ranges[{fitting.place.ranges, fit_row}];
  end

  // ---- fits, two neighbours a cycle ----
  logic turned_end_q, turned_ready, fit_valid, fit, fits_begun_q, widths_valid;
  turned_page_t turned_page_q;
  logic [6:0] pair_q;
  logic [1:0] fits_q;
  logic [2:0] fits_used_q;
  widths_t widths;

  always_ff @(posedge clk_i) begin
    turned_end_q <= turned_valid && turned_tag.last && rst_ni;
    turned_page_q <= turned_page;
  end
  prim_fifo #(
      .Width($bits(turned_page_t)),
      .Depth(Waiting)
  ) u_turned (
      .clk_i,
      .rst_ni,
      .valid_i(turned_end_q),
      .ready_o(turned_ready),
      .data_i(turned_page_q),
      .valid_o(fit_valid),
      .ready_i(fit_end),
      .data_o(fitting),
      .count_o()
  );
  chanq_widths #(
      .Pages(Waiting)
  ) u_widths (
      .clk_i,
      .rst_ni,
      .write_i(table_write_i.valid && table_write_i.addr >= TableAddrBits'(2 * TurnBeats)),
      .write_addr_i(table_write_i.addr[$clog2(2*WidthSlots)-1:0]),
      .write_data_i(table_write_i.data),
      .ask_i(back_end),
      .slot_i(scanned.slot),
      .valid_o(widths_valid),
      .widths_o(widths),
      .next_i(fit_end)
  );
  assign fit = fit_valid && widths_valid && (fits_begun_q || fits_used_q < 3'd4);
  assign fit_row = pair_q[6:4];
  assign fit_end = fit && pair_q == {fitting.page.cfg.blocks, 5'd31};
  always_ff @(posedge clk_i) begin
    if (fit) begin
      fits_begun_q <= !fit_end;
      pair_q <= fit_end ? '0 : pair_q + 7'd1;
    end
    if (fit_end) fits_q <= fits_q + 2'd1;
    fits_used_q <= fits_used_q + 3'(fit && !fits_begun_q) - 3'(third_end);
    if (!rst_ni) begin
      fits_begun_q <= 1'b0;
      pair_q <= '0;
      fits_q <= '0;
      fits_used_q <= '0;
    end
  end

  typedef struct packed {
    logic            last;
    logic [6:0]      pair;
    logic [1:0][3:0] widths;
    fitted_t         page;
  } fit_tag_t;
  logic fit_valid_1, fitted_valid;
  logic [FitCycles-1:0] fit_valid_q;
  fit_tag_t fit_tag_1, fitted_tag;
  range_t [1:0] fit_range_1;
  fit_t [1:0] fit_out, fitted;
  logic [6:0] largest, reach_q;
  logic [7:0] reach_page;

  always_ff @(posedge clk_i) begin
    fit_valid_1 <= fit && rst_ni;
    fit_valid_q <= rst_ni ? {fit_valid_q[FitCycles-2:0], fit_valid_1} : '0;
    fit_tag_1.last <= fit_end;
    fit_tag_1.pair <= pair_q;
    fit_tag_1.page <= '{slot: fitting.place.slot, fits: fits_q, page: fitting.page};
    for (int unsigned i = 0; i < 2; i++) begin
      fit_tag_1.widths[i] <= widths[{pair_q, 1'(i)}];
      fit_range_1[i] <= fit_ranges[{pair_q[3:0], 1'(i)}];
    end
  end
  for (genvar i = 0; i < 2; i++) begin : gen_fit
    chanq_fit u_fit (
        .clk_i,
        .low_i(fit_range_1[i].low),
        .high_i(fit_range_1[i].high),
        .fit_o(fit_out[i])
    );
    always_comb begin
      fitted[i] = fit_out[i];
      fitted[i].width = fitted_tag.widths[i];
    end
  end
  prim_delay #(
      .Width($bits(fit_tag_t)),
      .Cycles(FitCycles)
  ) u_fit_tag (
      .clk_i,
      .data_i(fit_tag_1),
      .data_o(fitted_tag)
  );
  assign fitted_valid = fit_valid_q[FitCycles-1];
  assign largest = fitted[0].wanted > fitted[1].wanted ? fitted[0].wanted : fitted[1].wanted;
  assign reach_page = {1'b0, fitted_tag.pair == '0 || largest > reach_q ? largest : reach_q};
  always_ff @(posedge clk_i) if (fitted_valid) reach_q <= reach_page[6:0];

  // ---- the page's grain ----
  logic fitted_ready, grain_valid, grain_busy_q, grain_done, grained_ready, grained_valid;
  fitted_t graining, third_page;
  logic [6:0] graining_top, third_top;
  logic [1:0] grain, third_grain;

  prim_fifo #(
      .Width($bits(fitted_t) + 7),
      .Depth(Waiting)
  ) u_fitted (
      .clk_i,
      .rst_ni,
      .valid_i(fitted_valid && fitted_tag.last),
      .ready_o(fitted_ready),
      .data_i({fitted_tag.page, reach_page[6:0]}),
      .valid_o(grain_valid),
      .ready_i(grain_done),
      .data_o({graining, graining_top}),
      .count_o()
  );
  always_ff @(posedge clk_i) begin
    if (grain_done) grain_busy_q <= 1'b0;
    else if (grain_valid) grain_busy_q <= 1'b1;
    if (!rst_ni) grain_busy_q <= 1'b0;
  end
  chanq_grain u_grain (
      .clk_i,
      .rst_ni,
      .write_i(fitted_valid),
      .write_set_i(fitted_tag.page.fits),
      .write_pair_i(fitted_tag.pair),
      .write_fits_i(fitted),
      .start_i(grain_valid && !grain_busy_q),
      .set_i(graining.fits),
      .blocks_i(graining.page.cfg.blocks),
      .top_i(graining_top),
      .done_o(grain_done),
      .grain_o(grain)
  );
  prim_fifo #(
      .Width($bits(fitted_t) + 9),
      .Depth(Waiting)
  ) u_grained (
      .clk_i,
      .rst_ni,
      .valid_i(grain_done),
      .ready_o(grained_ready),
      .data_i({graining, graining_top, grain}),
      .valid_o(grained_valid),
      .ready_i(third_end),
      .data_o({third_page, third_top, third_grain}),
      .count_o()
  );

  // ---- third pass ----
  logic third_begun_q, third_room, third, third_last, store_ready, codes_valid;
  page_units_t third_q;
  ring_count_t third_after;
  logic [6:0] third_pair;
  quant_t third_step, ask, codes_step;
  fit_t [1:0] third_fits;
  side_t [1:0] codes_sides;
  logic [Lanes-1:0][7:0] codes;
  fixed_t [Lanes-1:0] rows;

  assign third_after = third_page.page.base + ring_count_t'(page_units(
      third_page.page.cfg
  )) - left_i;
  assign third_room = third_begun_q || third_after <= `MUT(152, ring_count_t'(RingUnits), '1);
  assign third_last = third_q + 11'd1 == page_beats(third_page.page.cfg);
  assign third = grained_valid && third_room && (!third_last || store_ready);
  assign third_end = third && third_last;
  always_comb begin
    third_step = '{
        first: third_q == '0,
        last: third_last,
        tokens: third_page.page.cfg.tokens,
        blocks: third_page.page.cfg.blocks,
        channel: {third_q[6:0], 1'b0},
        half: 1'b0,
        slot: third_page.slot,
        top: third_top,
        grain: third_grain
    };
    if (third_step.tokens == 2'd1) third_step.channel = third_q[7:0];
    if (third_step.tokens == 2'd2) begin
      third_step.channel = third_q[8:1];
      third_step.half = third_q[0];
    end
    third_pair = third_step.channel[7:1];
  end
  always_ff @(posedge clk_i) begin
    if (third) begin
      third_begun_q <= !third_last;
      third_q <= third_last ? '0 : third_q + 11'd1;
    end
    if (!rst_ni) begin
      third_begun_q <= 1'b0;
      third_q <= '0;
    end
  end
  prim_ram #(
      .Width(2 * $bits(fit_t)),
      .Depth(512)
  ) u_fits (
      .clk_i,
      .write_i(fitted_valid),
      .write_addr_i({fitted_tag.page.fits, fitted_tag.pair}),
      .write_data_i(fitted),
      .read_addr_i({third_page.fits, third_pair}),
      .read_data_o(third_fits)
  );
  chanq_rows u_rows (
      .clk_i,
      .write_i(turned_valid),
      .write_tokens_i(turned_page.place.tokens),
      .write_slot_i(turned_page.place.slot),
      .write_token_i(turned_tag.token),
      .write_beat_i(turned_tag.beat),
      .write_values_i(turned),
      .tokens_i(ask.tokens),
      .slot_i(ask.slot),
      .channel_i(ask.channel),
      .half_i(ask.half),
      .values_o(rows)
  );
  chanq_quantise u_quantise (
      .clk_i,
      .rst_ni,
      .valid_i(third),
      .step_i(third_step),
      .fits_i(third_fits),
      .ask_o(ask),
      .values_i(rows),
      .valid_o(codes_valid),
      .step_o(codes_step),
      .sides_o(codes_sides),
      .codes_o(codes)
  );
  chanq_store u_store (
      .clk_i,
      .rst_ni,
      .page_valid_i(third_end),
      .page_ready_o(store_ready),
      .first_valid_i(third && third_q == '0),
      .first_page_i(third_page.page),
      .valid_i(codes_valid),
      .step_i(codes_step),
      .sides_i(codes_sides),
      .codes_i(codes),
      .write_o,
      .write_mask_o,
      .write_addr_o,
      .write_data_o,
      .done_o,
      .refusal_o
  );

  logic unused;
  assign
      unused = ^{turned_tag, ask, table_write_i.error, reach_page[7], turned_page_q.place.tokens};

  `SPECKV_ASSERT(ChanqEncodeCodec, !page_valid_i || is_chanq(page_cfg_i.codec))
  `SPECKV_ASSERT(ChanqEncodeTurnedHasRoom, !turned_end_q || turned_ready)
  `SPECKV_ASSERT(ChanqEncodeFittedHasRoom, !(fitted_valid && fitted_tag.last) || fitted_ready)
  `SPECKV_ASSERT(ChanqEncodeGrainedHasRoom, !grain_done || grained_ready)
endmodule
