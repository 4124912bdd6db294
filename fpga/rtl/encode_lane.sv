// SPDX-License-Identifier: Apache-2.0
// encode_lane - raw beats of a segment in, stored beats out: walker, encoder cores, page ring.
//
// A page is handed to the core of its codec, and that core then gets its raw beats, one a cycle,
// whichever cores the pages before went to. Cores write pages anywhere in their room. Those of one
// pass get a page when the ring has room for all of it, and their writes wait in a queue each: the
// oldest page's goes first, and raw beats wait while a queue is filling up. Those of two passes
// look for room when they begin to write (left_q), and write at once; of these only one has pages
// at a time. A page is done when all before it are; then its units may leave, in order, two a beat,
// so pages are packed by the way they lie in the ring.
//
// refused_o (a pulse): a page was refused; nothing after it counts, and the lane must be reset.
`include "speckv_check.svh"

module encode_lane
  import speckv_pkg::*;
  import engine_pkg::*;
  import chanq_pkg::*;
(
    input  logic                clk_i,
    input  logic                rst_ni,
    input  table_write_t        table_write_i,
    input  logic                start_i,
    input  layout_t             layout_i,        // stands as long as the job
    input  logic                first_block_i,
    input  logic         [15:0] widths_i,        // slot of the first head's
    input  logic                raw_valid_i,
    output logic                raw_ready_o,
    input  beat_t               raw_beat_i,
    output logic                stored_valid_o,
    input  logic                stored_ready_i,
    output beat_t               stored_beat_o,
    output logic                stored_half_o,
    output logic                stored_last_o,
    output logic                refused_o,
    output refusal_e            refusal_o,
    output logic         [15:0] page_o,          // that was refused
    input  logic                flip_i,
    output logic                error_o
);
  localparam int unsigned Cores = 5;
  localparam int unsigned CoreBits = 3;
  localparam int unsigned CoreRaw = 0;
  localparam int unsigned CoreRowq = 1;
  localparam int unsigned CoreQ8 = 2;
  localparam int unsigned CoreXpack = 3;
  localparam int unsigned CoreChanq = 4;
  localparam int unsigned OnePass = 3;  // the first so many cores
  localparam int unsigned OpenPages = 16;
  localparam int unsigned QueueDepth = 8;
  // Writes of a core of one pass. When raw beats stop, 42 more may come: rowq's from 58 beats.
  localparam int unsigned WriteDepth = 64;
  localparam int unsigned WriteCrowd = 16;
  typedef ring_count_t count_t;
  localparam count_t CountMax = '1;

  function automatic logic [CoreBits-1:0] core_of(input logic [4:0] codec);
    if (codec == CodecXpack) return CoreBits'(CoreXpack);
    if (codec == CodecQ8 || codec == CodecQ8sink) return CoreBits'(CoreQ8);
    if (is_chanq(codec)) return CoreBits'(CoreChanq);
    return is_rowq(codec) ? CoreBits'(CoreRowq) : CoreBits'(CoreRaw);
  endfunction

  // ---- pages ----
  count_t next_q, made_q, left_q;  // units: handed out, whole, gone
  logic page_valid, page_next, open_ready, open_valid, feed_ready, made, reading;
  logic page_room, two_passes, other_free;
  page_cfg_t page_cfg;
  page_units_t page_size, made_size;
  logic [15:0] page_index, made_index;
  logic [7:0] head;
  logic [CoreBits-1:0] core, oldest, last_core_q;
  logic [Cores-1:0] core_ready, core_done, finished;
  logic [$clog2(OpenPages):0] open_count;
  logic [RingAddrBits+1:0] page_after;  // units in the ring with this page

  segment_walker u_walker (
      .clk_i,
      .rst_ni,
      .start_i,
      .layout_i,
      .first_block_i,
      .valid_o(page_valid),
      .page_cfg_o(page_cfg),
      .page_units_o(page_size),
      .page_index_o(page_index),
      .head_o(head),
      .last_o(),
      .next_i(page_next)
  );
  assign core = core_of(page_cfg.codec);
  assign two_passes = core >= CoreBits'(OnePass);
  assign page_after = {1'b0, count_t'(next_q - left_q)} + (RingAddrBits + 2)'(page_size);
  assign page_room = page_after <= (RingAddrBits + 2)'(two_passes ? CountMax : count_t'(RingUnits));
  // Of cores of two passes only one has pages.
  assign other_free = !two_passes || core == last_core_q || open_count == '0;
  assign page_next = page_valid && core_ready[core] && open_ready && feed_ready && page_room &&
      other_free;

  // Pages under way; they leave in order.
  prim_fifo #(
      .Width(CoreBits + 16 + PageUnitBits),
      .Depth(OpenPages)
  ) u_open (
      .clk_i,
      .rst_ni,
      .valid_i(page_next),
      .ready_o(open_ready),
      .data_i({core, page_index, page_size}),
      .valid_o(open_valid),
      .ready_i(made),
      .data_o({oldest, made_index, made_size}),
      .count_o(open_count)
  );
  assign made = open_valid && finished[oldest];
  always_ff @(posedge clk_i) begin
    if (page_next) begin
      next_q <= next_q + count_t'(page_size);
      if (two_passes) last_core_q <= core;
    end
    if (made) made_q <= made_q + count_t'(made_size);
    if (!rst_ni) begin
      next_q <= '0;
      made_q <= '0;
      last_core_q <= '0;
    end
  end

  // ---- raw beats, to the core of their page ----
  logic feed_valid, feed_end;
  logic [CoreBits-1:0] feed_core;
  page_units_t feed_beats, feed_q;
  logic [Cores-1:0] core_take;
  logic crowd_q;  // a queue of writes is filling up

  prim_fifo #(
      .Width(CoreBits + PageUnitBits),
      .Depth(OpenPages)
  ) u_feed (
      .clk_i,
      .rst_ni,
      .valid_i(page_next),
      .ready_o(feed_ready),
      .data_i({core, page_beats(page_cfg)}),
      .valid_o(feed_valid),
      .ready_i(raw_valid_i && raw_ready_o && feed_end),
      .data_o({feed_core, feed_beats}),
      .count_o()
  );
  assign raw_ready_o = feed_valid && core_take[feed_core] && !crowd_q;
  assign feed_end = feed_q + 11'd1 == feed_beats;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) feed_q <= '0;
    else if (raw_valid_i && raw_ready_o) feed_q <= feed_end ? '0 : feed_q + 11'd1;
  end

  // ---- cores ----
  logic [Cores-1:0] core_page, core_valid, write;
  logic [Cores-1:0][1:0] write_mask;
  ring_addr_t [Cores-1:0] write_addr;
  beat_t [Cores-1:0] write_data;
  refusal_e [Cores-1:0] core_refusal;

  for (genvar i = 0; i < Cores; i++) begin : gen_offer
    assign core_page[i] = page_next && core == CoreBits'(i);
    assign core_valid[i] = raw_valid_i && feed_valid && feed_core == CoreBits'(i) && !crowd_q;
  end
  raw_encode u_raw (
      .clk_i,
      .rst_ni,
      .page_valid_i(core_page[CoreRaw]),
      .page_ready_o(core_ready[CoreRaw]),
      .page_cfg_i(page_cfg),
      .page_base_i(next_q[RingAddrBits-1:0]),
      .valid_i(core_valid[CoreRaw]),
      .ready_o(core_take[CoreRaw]),
      .beat_i(raw_beat_i),
      .write_o(write[CoreRaw]),
      .write_mask_o(write_mask[CoreRaw]),
      .write_addr_o(write_addr[CoreRaw]),
      .write_data_o(write_data[CoreRaw]),
      .done_o(core_done[CoreRaw]),
      .refusal_o(core_refusal[CoreRaw])
  );
  rowq_encode u_rowq (
      .clk_i,
      .rst_ni,
      .page_valid_i(core_page[CoreRowq]),
      .page_ready_o(core_ready[CoreRowq]),
      .page_cfg_i(page_cfg),
      .page_base_i(next_q[RingAddrBits-1:0]),
      .valid_i(core_valid[CoreRowq]),
      .ready_o(core_take[CoreRowq]),
      .beat_i(raw_beat_i),
      .write_o(write[CoreRowq]),
      .write_mask_o(write_mask[CoreRowq]),
      .write_addr_o(write_addr[CoreRowq]),
      .write_data_o(write_data[CoreRowq]),
      .done_o(core_done[CoreRowq]),
      .refusal_o(core_refusal[CoreRowq])
  );
  q8_encode u_q8 (
      .clk_i,
      .rst_ni,
      .page_valid_i(core_page[CoreQ8]),
      .page_ready_o(core_ready[CoreQ8]),
      .page_cfg_i(page_cfg),
      .page_base_i(next_q[RingAddrBits-1:0]),
      .valid_i(core_valid[CoreQ8]),
      .ready_o(core_take[CoreQ8]),
      .beat_i(raw_beat_i),
      .write_o(write[CoreQ8]),
      .write_mask_o(write_mask[CoreQ8]),
      .write_addr_o(write_addr[CoreQ8]),
      .write_data_o(write_data[CoreQ8]),
      .done_o(core_done[CoreQ8]),
      .refusal_o(core_refusal[CoreQ8])
  );

  xpack_encode u_xpack (
      .clk_i,
      .rst_ni,
      .page_valid_i(core_page[CoreXpack]),
      .page_ready_o(core_ready[CoreXpack]),
      .page_cfg_i(page_cfg),
      .page_base_i(next_q),
      .left_i(left_q),
      .valid_i(core_valid[CoreXpack]),
      .ready_o(core_take[CoreXpack]),
      .beat_i(raw_beat_i),
      .write_o(write[CoreXpack]),
      .write_mask_o(write_mask[CoreXpack]),
      .write_addr_o(write_addr[CoreXpack]),
      .write_data_o(write_data[CoreXpack]),
      .done_o(core_done[CoreXpack]),
      .refusal_o(core_refusal[CoreXpack])
  );
  chanq_encode u_chanq (
      .clk_i,
      .rst_ni,
      .table_write_i,
      .page_valid_i(core_page[CoreChanq]),
      .page_ready_o(core_ready[CoreChanq]),
      .page_cfg_i(page_cfg),
      .page_base_i(next_q),
      .page_rope_i(layout_i.rope),
      .page_slot_i(8'(widths_i) + (layout_i.shared_widths ? 8'd0 : head)),
      .left_i(left_q),
      .valid_i(core_valid[CoreChanq]),
      .ready_o(core_take[CoreChanq]),
      .beat_i(raw_beat_i),
      .write_o(write[CoreChanq]),
      .write_mask_o(write_mask[CoreChanq]),
      .write_addr_o(write_addr[CoreChanq]),
      .write_data_o(write_data[CoreChanq]),
      .done_o(core_done[CoreChanq]),
      .refusal_o(core_refusal[CoreChanq])
  );

  // ---- writes, and what became of each core's pages ----
  typedef struct packed {
    logic       done;
    refusal_e   refusal;
    logic [1:0] mask;
    ring_addr_t addr;
    beat_t      data;
  } write_t;
  write_t [Cores-1:0] asked, granted;
  logic [Cores-1:0] waits, grant, finish_ready;
  refusal_e [Cores-1:0] finish_refusal;
  logic [OnePass-1:0] queue_room, queue_crowd;
  logic late_write;

  for (genvar i = 0; i < Cores; i++) begin : gen_write
    logic [$bits(refusal_e)-1:0] finish_bits;
    assign finish_refusal[i] = refusal_e'(finish_bits);
    assign asked[i] = '{
            done: core_done[i],
            refusal: core_refusal[i],
            mask: write[i] ? write_mask[i] : 2'b00,
            addr: write_addr[i],
            data: write_data[i]
        };
    prim_fifo #(
        .Width($bits(refusal_e)),
        .Depth(OpenPages)
    ) u_finished (
        .clk_i,
        .rst_ni,
        .valid_i(grant[i] && granted[i].done),
        .ready_o(finish_ready[i]),
        .data_i(granted[i].refusal),
        .valid_o(finished[i]),
        .ready_i(made && oldest == CoreBits'(i)),
        .data_o(finish_bits),
        .count_o()
    );
  end
  for (genvar i = 0; i < OnePass; i++) begin : gen_queue
    logic [$clog2(WriteDepth):0] queue_count;
    prim_fifo #(
        .Width($bits(write_t)),
        .Depth(WriteDepth)
    ) u_writes (
        .clk_i,
        .rst_ni,
        .valid_i(write[i] || core_done[i]),
        .ready_o(queue_room[i]),
        .data_i(asked[i]),
        .valid_o(waits[i]),
        .ready_i(grant[i]),
        .data_o(granted[i]),
        .count_o(queue_count)
    );
    assign queue_crowd[i] = queue_count >= ($clog2(WriteDepth) + 1)'(WriteCrowd);
  end
  for (genvar i = OnePass; i < Cores; i++) begin : gen_direct
    assign waits[i] = write[i] || core_done[i];
    assign granted[i] = asked[i];
  end
  assign late_write = waits[Cores-1:OnePass] != '0;
  // Who cannot wait, the oldest page's core, rowq and q8 before raw.
  always_comb begin
    grant = '0;
    if (late_write) grant[Cores-1:OnePass] = waits[Cores-1:OnePass];
    else if (waits[oldest] && open_valid) grant[oldest] = 1'b1;
    else if (waits[CoreQ8]) grant[CoreQ8] = 1'b1;
    else if (waits[CoreRowq]) grant[CoreRowq] = 1'b1;
    else grant[CoreRaw] = waits[CoreRaw];
  end
  always_ff @(posedge clk_i) crowd_q <= queue_crowd != '0 && rst_ni;
  assign refusal_o = finish_refusal[oldest];
  assign refused_o = made && refusal_o != RefusalNone;
  assign page_o = made_index;

  // ---- the ring ----
  logic   half;
  write_t written;
  beat_t  read_data;

  always_comb begin
    written = '0;
    for (int unsigned i = 0; i < Cores; i++) if (grant[i]) written |= granted[i];
  end
  page_ring u_ring (
      .clk_i,
      .rst_ni,
      .write_i(written.mask != '0),
      .write_mask_i(written.mask),
      .write_addr_i(written.addr),
      .write_data_i(written.data),
      .read_i(reading),
      .read_half_i(half),
      .read_addr_i(left_q[RingAddrBits-1:0]),
      .read_data_o(read_data),
      .flip_i,
      .error_o
  );

  // ---- stored beats ----
  count_t ready_units;
  logic last, all_made, room, queue_ready;
  logic [RingLatency-1:0] read_q, half_q, last_q;

  // A unit may be read two cycles after its page was done: the ring's write is in a register.
  count_t made_seen_q, made_old_q;
  logic all_made_q, all_old_q;
  assign all_made = !page_valid && !open_valid && next_q != left_q;
  always_ff @(posedge clk_i) begin
    made_old_q <= made_q;
    made_seen_q <= made_old_q;
    all_old_q <= all_made && made_q == next_q;
    all_made_q <= all_old_q && all_made;
    if (!rst_ni) begin
      made_old_q <= '0;
      made_seen_q <= '0;
      all_old_q <= 1'b0;
      all_made_q <= 1'b0;
    end
  end
  assign ready_units = made_seen_q - left_q;
  assign last = all_made_q && made_seen_q == next_q && ready_units <= count_t'(2);
  assign half = last && ready_units == count_t'(1);
  assign reading = room && (ready_units >= count_t'(2) || half);

  always_ff @(posedge clk_i) begin
    read_q <= {read_q[RingLatency-2:0], reading};
    half_q <= {half_q[RingLatency-2:0], half};
    last_q <= {last_q[RingLatency-2:0], last};
    if (reading) left_q <= left_q + (half ? count_t'(1) : count_t'(2));
    if (!rst_ni) begin
      read_q <= '0;
      left_q <= '0;
    end
  end
  prim_credit #(
      .Credits(QueueDepth)
  ) u_credit (
      .clk_i,
      .rst_ni,
      .take_i(reading),
      .give_i(stored_valid_o && stored_ready_i),
      .available_o(room),
      .used_o()
  );
  prim_fifo #(
      .Width(BeatBits + 2),
      .Depth(QueueDepth)
  ) u_queue (
      .clk_i,
      .rst_ni,
      .valid_i(read_q[RingLatency-1]),
      .ready_o(queue_ready),
      .data_i({last_q[RingLatency-1], half_q[RingLatency-1], read_data}),
      .valid_o(stored_valid_o),
      .ready_i(stored_ready_i),
      .data_o({stored_last_o, stored_half_o, stored_beat_o}),
      .count_o()
  );

  logic unused_written;
  assign unused_written = ^{written.done, written.refusal, widths_i[15:8]};

  `SPECKV_ASSERT(EncodeLaneOneWrites, (grant & (grant - 1'b1)) == '0)
  `SPECKV_ASSERT(EncodeLaneWritesWait,
                 ((write[OnePass-1:0] | core_done[OnePass-1:0]) & ~queue_room) == '0)
  `SPECKV_ASSERT(EncodeLaneFinishHasRoom, finish_ready == '1)
  `SPECKV_ASSERT(EncodeLaneMadeIsRoom, count_t'(made_q - left_q) <= count_t'(RingUnits))
  `SPECKV_ASSERT(EncodeLaneQueueHasRoom, !read_q[RingLatency-1] || queue_ready)
endmodule
