// SPDX-License-Identifier: Apache-2.0
// q8_decode - q8 and q8sink pages of the page ring to raw beats: a decoder core of a lane.
//
// A raw beat is one group of 32 values: its scale is one byte, its codes one unit. For 32 beats one
// unit of scales is read, then 16 words of codes, one every other cycle: 17 reads for 32 beats. The
// first token of q8sink lies behind the page as raw beats; they are read in place of its codes and
// pass beside the datapath. First address to first beat: 14 cycles; a beat a cycle, pages back to
// back.
`include "speckv_check.svh"

module q8_decode
  import speckv_pkg::*;
(
    input  logic       clk_i,
    input  logic       rst_ni,
    input  logic       page_valid_i,
    input  page_cfg_t  page_cfg_i,
    input  ring_addr_t page_base_i,
    output logic       page_done_o,
    output logic       read_o,
    output logic       read_half_o,
    output ring_addr_t read_addr_o,
    input  logic       read_grant_i,
    input  beat_t      read_data_i,
    output logic       valid_o,
    input  logic       ready_i,
    output beat_t      beat_o,
    output logic       last_o
);
  localparam int unsigned QueueDepth = 32;
  localparam int unsigned CountBits = $clog2(QueueDepth + 1);
  // Beats that reads on their way may bring: a word is two beats, and three words may be under way.
  localparam int unsigned Margin = 8;
  localparam int unsigned PathCycles = 7;

  // ---- reading ----
  typedef struct packed {
    logic       valid;
    logic       scales;
    logic       raw;       // one beat, as it is
    logic [4:0] place;     // of the first beat among its 32
    logic       bf16;
    logic       page_end;
  } read_tag_t;

  page_units_t beat_q, beats, sink_beats;
  logic scales_due_q, rest_q, want, reading, sink, room;
  logic [CountBits-1:0] used;
  read_tag_t issue, arrived;
  read_tag_t [RingLatency-1:0] tags_q;
  ring_addr_t scale_units;

  assign beats = page_beats(page_cfg_i);
  assign sink_beats = page_cfg_i.codec == CodecQ8sink ?
      PageUnitBits'({2'd0, page_cfg_i.blocks} + 4'd1) << 1 : '0;
  assign sink = beat_q < sink_beats;
  assign room = used <= CountBits'(QueueDepth - Margin);
  // A word of codes makes two beats, so the next one waits a cycle; scales fit into that.
  assign want = page_valid_i && room && (scales_due_q || !rest_q);
  assign reading = want && read_grant_i;
  assign scale_units = RingAddrBits'(beats >> 5);

  always_comb begin
    issue = '{
        valid: reading,
        scales: scales_due_q,
        raw: sink,
        place: beat_q[4:0],
        bf16: page_cfg_i.bf16,
        page_end: !scales_due_q && beat_q + (sink ? 11'd1 : 11'd2) == beats
    };
    if (scales_due_q) read_addr_o = page_base_i + RingAddrBits'(beat_q >> 5);
    else if (sink)
      read_addr_o = page_base_i + scale_units + RingAddrBits'(beats) +
          RingAddrBits'({beat_q, 1'b0});
    else read_addr_o = page_base_i + scale_units + RingAddrBits'(beat_q);
  end
  assign read_o = want;
  assign read_half_o = scales_due_q;
  assign page_done_o = issue.valid && issue.page_end;

  always_ff @(posedge clk_i) begin
    tags_q <= {tags_q[RingLatency-2:0], issue};
    rest_q <= reading && !scales_due_q && !sink;
    if (reading) begin
      if (scales_due_q) scales_due_q <= 1'b0;
      else begin
        beat_q <= issue.page_end ? '0 : beat_q + (sink ? 11'd1 : 11'd2);
        scales_due_q <= issue.page_end || (beat_q[4:0] + (sink ? 5'd1 : 5'd2)) == '0;
      end
    end
    if (!rst_ni) begin
      tags_q <= '0;
      rest_q <= 1'b0;
      beat_q <= '0;
      scales_due_q <= 1'b1;
    end
  end
  assign arrived = tags_q[RingLatency-1];

  // ---- beats: the first half of a word when it comes, the second one cycle later ----
  logic [UnitBits-1:0] scales_q, second_q, codes;
  read_tag_t second_tag_q, tag;
  logic beat_here;
  logic [7:0] scale;

  always_ff @(posedge clk_i) begin
    if (arrived.valid && arrived.scales) scales_q <= read_data_i[UnitBits-1:0];
    second_q <= read_data_i[BeatBits-1:UnitBits];
    second_tag_q <= arrived;
    second_tag_q.valid <= arrived.valid && !arrived.scales && !arrived.raw && rst_ni;
    second_tag_q.place <= arrived.place + 5'd1;
  end
  assign tag = second_tag_q.valid ? second_tag_q : arrived;
  assign codes = second_tag_q.valid ? second_q : read_data_i[UnitBits-1:0];
  assign beat_here = second_tag_q.valid || (arrived.valid && !arrived.scales);
  assign scale = scales_q[{tag.place, 3'd0}+:8];

  // ---- datapath: 1 sizes; 2 products; 3 .. 7 rounded ----
  logic [31:0][7:0] size_1;
  logic [31:0] neg_1, neg_2;
  logic [2:0] step_1;
  logic [4:0] octave_1;
  logic bf16_1, bf16_2;
  logic [31:0][10:0] product_2;
  logic signed [8:0] exponent_2;
  logic [31:0][15:0] values;

  always_ff @(posedge clk_i) begin
    step_1 <= scale[2:0];
    octave_1 <= scale[7:3];
    bf16_1 <= tag.bf16;
    for (int unsigned i = 0; i < 32; i++) begin
      neg_1[i] <= codes[8*i+7];
      size_1[i] <= codes[8*i+7] ? -codes[8*i+:8] : codes[8*i+:8];
      neg_2[i] <= neg_1[i];
      product_2[i] <= {size_1[i], 3'd0} + (step_1[2] ? {1'b0, size_1[i], 2'd0} : 11'd0) +
          (step_1[1] ? {2'b0, size_1[i], 1'd0} : 11'd0) + (step_1[0] ? {3'b0, size_1[i]} : 11'd0);
    end
    exponent_2 <= 9'(octave_1) - (bf16_1 ? 9'd22 : 9'd24);
    bf16_2 <= bf16_1;
  end
  for (genvar i = 0; i < 32; i++) begin : gen_round
    round_half #(
        .Width(11)
    ) u_round (
        .clk_i,
        .neg_i(neg_2[i]),
        .size_i(product_2[i]),
        .exponent_i(exponent_2),
        .bf16_i(bf16_2),
        .half_o(values[i])
    );
  end

  // ---- beside it ----
  logic made_valid, made_raw, made_last, queue_ready, end_beat;
  beat_t made_beat;
  logic [PathCycles:1] valid_q;

  logic unused_tag;
  assign unused_tag = ^{tag.valid, tag.scales};

  // The page's last beat is the second of its last word.
  assign end_beat = tag.page_end && (second_tag_q.valid || tag.raw);
  always_ff @(posedge clk_i) valid_q <= rst_ni ? {valid_q[PathCycles-1:1], beat_here} : '0;
  assign made_valid = valid_q[PathCycles];
  prim_delay #(
      .Width(2),
      .Cycles(PathCycles)
  ) u_flags (
      .clk_i,
      .data_i({tag.raw, end_beat}),
      .data_o({made_raw, made_last})
  );
  prim_delay_ram #(
      .Width(BeatBits),
      .Cycles(PathCycles)
  ) u_raw (
      .clk_i,
      .rst_ni,
      .data_i(read_data_i),
      .data_o(made_beat)
  );

  prim_credit #(
      .Credits(QueueDepth)
  ) u_credit (
      .clk_i,
      .rst_ni,
      .take_i(beat_here),
      .give_i(valid_o && ready_i),
      .available_o(),
      .used_o(used)
  );
  prim_fifo #(
      .Width(BeatBits + 1),
      .Depth(QueueDepth)
  ) u_queue (
      .clk_i,
      .rst_ni,
      .valid_i(made_valid),
      .ready_o(queue_ready),
      .data_i({made_last, made_raw ? made_beat : values}),
      .valid_o,
      .ready_i,
      .data_o({last_o, beat_o}),
      .count_o()
  );

  `SPECKV_ASSERT(Q8DecodeQueueHasRoom, !made_valid || queue_ready)
  `SPECKV_ASSERT(Q8DecodeOneBeat, !(second_tag_q.valid && arrived.valid && !arrived.scales))
endmodule
