// SPDX-License-Identifier: Apache-2.0
// chanq_fetch - reads a chanq page out of the page ring and cuts its codes into steps: the first
// pass.
//
// Codes first, as fast as the funnel takes them, then what lies beside them (anchors 32 at a time
// with the header, drops plane by plane). A step is the 64 codes of 1, 2 or 4 channels (tokens 64,
// 32, 16): at most 64 bytes, cut in units of 2 bytes out of two beats, the funnel. So the pass
// takes half as many cycles as the page has beats, and about 8 more, where the ring grants.
//
// room_i: the buffer fill_o may be written. Every page ends, whatever its widths say: where codes
// are missing, what the funnel has counts; what is left is thrown away. page_done_o: everything was
// read and cut; what left by step_o is 4 cycles on its way into the corner turn.
`include "speckv_check.svh"

module chanq_fetch
  import speckv_pkg::*;
  import chanq_pkg::*;
(
    input  logic       clk_i,
    input  logic       rst_ni,
    // The page at hand, held until page_done_o.
    input  logic       page_valid_i,
    input  page_cfg_t  page_cfg_i,
    input  ring_addr_t page_base_i,
    input  widths_t    page_widths_i,
    output logic       page_done_o,
    // Page ring: data comes RingLatency cycles after its address was granted.
    output logic       read_o,
    output logic       read_half_o,
    output ring_addr_t read_addr_o,
    input  logic       read_grant_i,
    input  beat_t      read_data_i,
    // Two buffers take turns.
    input  logic       room_i,
    output logic       fill_o,
    output side_tag_t  side_o,
    output beat_t      side_data_o,
    output logic       step_valid_o,
    output step_t      step_o,
    output beat_t      window_o        // from the step's first byte on
);
  localparam int unsigned QueueDepth = 8;
  localparam int unsigned PlaceBits = $clog2(HalfwordsOfBeat);
  localparam int unsigned CountBits = $clog2(QueueDepth + 1);

  typedef struct packed {
    logic      valid;
    logic      code;
    logic      code_end;
    logic      page_end;
    side_tag_t side;
  } read_tag_t;

  // ---- reading ----
  page_units_t at_q, at, page_size;
  logic [5:0] first_word, plane_word;
  logic begun_q, codes_q, asked_q;  // of the page: some read, all codes read, all read
  logic [3:0] side_q, anchor_words;
  logic code_room, want, reading, fill_q;
  logic [CountBits-1:0] used;
  read_tag_t issue, arrived;
  read_tag_t [RingLatency-1:0] tags_q;
  logic [2:0] plane;

  assign page_size = page_units(page_cfg_i);
  assign first_word = side_words(page_cfg_i.blocks);
  assign at = begun_q ? at_q : PageUnitBits'(first_word[5:2]);
  assign anchor_words = {1'b0, page_cfg_i.blocks, 1'b0} + 4'd2;
  assign plane = 3'(side_q - anchor_words);
  assign plane_word = drop_word(page_cfg_i.blocks, plane);
  assign want = page_valid_i && !asked_q && (codes_q ? room_i : code_room);

  always_comb begin
    issue = '{
        valid: reading,
        code: !codes_q,
        code_end: !codes_q && at + PageUnitBits'(2) >= page_size,
        page_end: codes_q && side_q == anchor_words + 4'(DropPlanes - 1),
        side: '{
            valid: codes_q,
            buffer: fill_q,
            drops: side_q >= anchor_words,
            index: side_q >= anchor_words ? plane : side_q[2:0],
            start: plane_word[1:0]
        }
    };
    if (!codes_q) read_addr_o = page_base_i + RingAddrBits'(at);
    else if (issue.side.drops) read_addr_o = page_base_i + RingAddrBits'(plane_word[5:2]);
    else read_addr_o = page_base_i + RingAddrBits'(side_q);
  end
  assign read_o = want;
  assign read_half_o = !codes_q && at + PageUnitBits'(`MUT(80, 1, 2)) >= page_size;
  assign reading = want && read_grant_i;

  always_ff @(posedge clk_i) begin
    tags_q <= {tags_q[RingLatency-2:0], issue};
    if (reading) begin
      begun_q <= 1'b1;
      at_q <= at + PageUnitBits'(2);
      if (issue.code_end) codes_q <= 1'b1;
      if (codes_q) side_q <= side_q + 4'd1;
      if (issue.page_end) asked_q <= 1'b1;
    end
    if (page_done_o) begin
      begun_q <= 1'b0;
      codes_q <= 1'b0;
      asked_q <= 1'b0;
      side_q <= '0;
    end
    if (!rst_ni) begin
      tags_q <= '0;
      begun_q <= 1'b0;
      codes_q <= 1'b0;
      asked_q <= 1'b0;
      side_q <= '0;
    end
  end
  assign arrived = tags_q[RingLatency-1];
  always_comb begin
    side_o = arrived.side;
    side_o.valid = arrived.valid && arrived.side.valid;
  end
  assign side_data_o = read_data_i;

  // ---- the funnel ----
  logic queue_valid, queue_ready, pop, shift, dry, step, all_codes_q, all_read_q, stepped_q;
  logic low_valid_q, high_valid_q;
  beat_t queue_data, low_q, high_q;
  logic [PlaceBits-1:0] place_q;
  logic [PlaceBits:0] size, place;
  logic [7:0] step_q, step_next, steps_end;
  logic [Slots-1:0][3:0] widths_q;

  prim_credit #(
      .Credits(QueueDepth)
  ) u_credit (
      .clk_i,
      .rst_ni,
      .take_i(reading && issue.code),
      .give_i(pop),
      .available_o(code_room),
      .used_o(used)
  );
  prim_fifo #(
      .Width(BeatBits),
      .Depth(QueueDepth)
  ) u_queue (
      .clk_i,
      .rst_ni,
      .valid_i(arrived.valid && arrived.code),
      .ready_o(queue_ready),
      .data_i(read_data_i),
      .valid_o(queue_valid),
      .ready_i(pop),
      .data_o(queue_data),
      .count_o()
  );

  // Steps of a page: head_dim * tokens / 64, 16 .. 256.
  assign steps_end = 8'((9'(page_beats(page_cfg_i) >> 1)) - 9'd1);
  assign step_next = page_done_o ? 8'd0 : step_q + 8'(step);
  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < Slots; i++) begin
      unique case (page_cfg_i.tokens)
        2'd0: widths_q[i] <= page_widths_i[{step_next[5:0], 2'(i)}];
        2'd1: widths_q[i] <= page_widths_i[{step_next[6:0], 1'(i)}];
        default: widths_q[i] <= page_widths_i[step_next];
      endcase
    end
  end
  // In units of 2 bytes.
  always_comb begin
    unique case (page_cfg_i.tokens)
      2'd0: size = 6'(widths_q[0]) + 6'(widths_q[1]) + 6'(widths_q[2]) + 6'(widths_q[3]);
      2'd1: size = {6'(widths_q[0]) + 6'(widths_q[1])} << 1;
      default: size = 6'(widths_q[0]) << 2;
    endcase
  end

  assign place = 6'(place_q) + size;
  assign dry = all_codes_q && !queue_valid && !high_valid_q;
  assign step = page_valid_i && !stepped_q && room_i && ((low_valid_q && high_valid_q) || dry);
  assign shift = step && place[PlaceBits];
  assign pop = queue_valid && (!low_valid_q || !high_valid_q || shift || stepped_q);
  assign page_done_o = page_valid_i && stepped_q && all_read_q && !queue_valid;

  always_ff @(posedge clk_i) begin
    if (!low_valid_q || shift) begin
      low_q <= high_q;
      low_valid_q <= high_valid_q;
    end
    if (!low_valid_q || !high_valid_q || shift) begin
      high_q <= queue_data;
      high_valid_q <= queue_valid;
    end
    if (!begun_q) place_q <= {1'b0, first_word[1:0], 2'd0};
    else if (step) place_q <= place[PlaceBits-1:0];
    step_q <= step_next;
    if (step && step_q == steps_end) stepped_q <= 1'b1;
    if (arrived.valid && arrived.code_end) all_codes_q <= 1'b1;
    if (arrived.valid && arrived.page_end) all_read_q <= 1'b1;
    if (page_done_o) begin
      fill_q <= !fill_q;
      low_valid_q <= 1'b0;
      high_valid_q <= 1'b0;
      stepped_q <= 1'b0;
      all_codes_q <= 1'b0;
      all_read_q <= 1'b0;
    end
    if (!rst_ni) begin
      step_q <= '0;
      fill_q <= `MUT(89, 1'b0, fill_q);
      low_valid_q <= 1'b0;
      high_valid_q <= 1'b0;
      stepped_q <= 1'b0;
      all_codes_q <= 1'b0;
      all_read_q <= 1'b0;
    end
  end
  assign fill_o = fill_q;

  // ---- what leaves ----
  logic [2*BeatBits-1:0] both;

  assign both = {high_q, low_q};
  always_ff @(posedge clk_i) begin
    step_valid_o <= step && rst_ni;
    window_o <= both[{1'b0, place_q, 4'd0}+:BeatBits];
    step_o.buffer <= fill_q;
    step_o.tokens <= page_cfg_i.tokens;
    step_o.widths <= widths_q;
    unique case (page_cfg_i.tokens)
      2'd0: step_o.channel <= {step_q[5:0], 2'd0};
      2'd1: step_o.channel <= {step_q[6:0], 1'd0};
      default: step_o.channel <= step_q;
    endcase
  end

  logic unused_used;
  assign unused_used = ^used;

  `SPECKV_ASSERT(ChanqFetchCodec, !page_valid_i || is_chanq(page_cfg_i.codec))
  `SPECKV_ASSERT(ChanqFetchQueueHasRoom, !(arrived.valid && arrived.code) || queue_ready)
endmodule
