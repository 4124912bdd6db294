// SPDX-License-Identifier: Apache-2.0
// decode_lane - stored beats of a segment in, raw beats out: page ring, walker, decoder cores.
//
// Stored beats go into the ring as they come. A page is handed to the core of its codec as soon as
// it lies there whole and that core is free, while the page before may still be read by another:
// the older page reads first. Its units are free when the core says page_done and all pages before
// are done. Each core has its own queue; order_q remembers whose beats come next. So raw beats
// leave one a cycle, pages of different codecs too.
//
// A new core is one more index below: its codecs in core_of, its instance, nothing else.
`include "speckv_check.svh"

module decode_lane
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
    input  logic                stored_valid_i,
    output logic                stored_ready_o,
    input  beat_t               stored_beat_i,
    input  logic                stored_half_i,   // the segment ends with its first unit
    output logic                raw_valid_o,
    input  logic                raw_ready_i,
    output beat_t               raw_beat_o,
    input  logic                flip_i,
    output logic                error_o          // the ring's parity, a pulse
);
  localparam int unsigned Cores = 5;
  localparam int unsigned CoreBits = 3;
  localparam int unsigned OpenPages = 4;
  localparam int unsigned CoreRaw = 0;
  localparam int unsigned CoreRowq = 1;
  localparam int unsigned CoreXpack = 2;
  localparam int unsigned CoreQ8 = 3;
  localparam int unsigned CoreChanq = 4;
  typedef logic [RingAddrBits:0] count_t;  // units, one bit more than an address

  function automatic logic [CoreBits-1:0] core_of(input logic [4:0] codec);
    if (codec == CodecXpack) return CoreBits'(CoreXpack);
    if (codec == CodecQ8 || codec == CodecQ8sink) return CoreBits'(CoreQ8);
    if (is_chanq(codec)) return CoreBits'(CoreChanq);
    return is_rowq(codec) ? CoreBits'(CoreRowq) : CoreBits'(CoreRaw);
  endfunction

  // ---- the ring ----
  count_t wrote_q, next_q, freed_q;  // units: written, handed out, free again
  logic take, flip_q, page_next, free;
  page_units_t free_size, page_size;
  logic [Cores-1:0] want, half, grant;
  ring_addr_t [Cores-1:0] read_addr;
  ring_addr_t addr;
  beat_t read_data;

  assign stored_ready_o = wrote_q - freed_q <= count_t'(RingUnits - `MUT(34, 2, 1));
  assign take = stored_valid_i && stored_ready_o;

  page_ring u_ring (
      .clk_i,
      .rst_ni,
      .write_i(take),
      .write_mask_i({!stored_half_i, 1'b1}),
      .write_addr_i(wrote_q[RingAddrBits-1:0]),
      .write_data_i(stored_beat_i),
      .read_i(want != '0),
      .read_half_i((grant & half) != '0),
      .read_addr_i(addr),
      .read_data_o(read_data),
      .flip_i(flip_q),
      .error_o
  );
  always_ff @(posedge clk_i) begin
    flip_q <= flip_i && rst_ni;
    if (take) wrote_q <= wrote_q + (stored_half_i ? count_t'(1) : count_t'(2));
    if (page_next) next_q <= next_q + count_t'(page_size);
    if (free) freed_q <= freed_q + count_t'(free_size);
    if (!rst_ni) begin
      wrote_q <= '0;
      next_q <= '0;
      freed_q <= '0;
    end
  end

  // ---- pages ----
  logic page_valid, here, order_ready, open_ready, open_valid;
  page_cfg_t page_cfg;
  logic [7:0] head;
  logic [CoreBits-1:0] core, oldest;

  segment_walker u_walker (
      .clk_i,
      .rst_ni,
      .start_i,
      .layout_i,
      .first_block_i,
      .valid_o(page_valid),
      .page_cfg_o(page_cfg),
      .page_units_o(page_size),
      .page_index_o(),
      .head_o(head),
      .last_o(),
      .next_i(page_next)
  );
  assign core = core_of(page_cfg.codec);
  assign here = page_valid && wrote_q - next_q >= count_t'(page_size);

  // What each core has at hand, and next; how many it has read whose units are not free yet.
  logic [Cores-1:0] core_page, core_room, page_done, free_core;
  page_cfg_t [Cores-1:0] core_cfg;
  ring_addr_t [Cores-1:0] core_base;
  logic [Cores-1:0][$clog2(OpenPages+1)-1:0] done_q;

  assign page_next = here && order_ready && open_ready && core_room[core];
  assign free = open_valid && done_q[oldest] != '0;
  for (genvar i = 0; i < Cores; i++) begin : gen_core
    prim_fifo #(
        .Width($bits(page_cfg_t) + RingAddrBits),
        .Depth(2)
    ) u_pages (
        .clk_i,
        .rst_ni,
        .valid_i(page_next && core == CoreBits'(i)),
        .ready_o(core_room[i]),
        .data_i({page_cfg, next_q[RingAddrBits-1:0]}),
        .valid_o(core_page[i]),
        .ready_i(page_done[i]),
        .data_o({core_cfg[i], core_base[i]}),
        .count_o()
    );
    assign free_core[i] = free && oldest == CoreBits'(i);
    always_ff @(posedge clk_i) begin
      if (!rst_ni) done_q[i] <= '0;
      else done_q[i] <= done_q[i] + 3'(page_done[i]) - 3'(free_core[i]);
    end
  end
  prim_fifo #(
      .Width(CoreBits + PageUnitBits),
      .Depth(OpenPages)
  ) u_open (
      .clk_i,
      .rst_ni,
      .valid_i(page_next),
      .ready_o(open_ready),
      .data_i({core, page_size}),
      .valid_o(open_valid),
      .ready_i(free),
      .data_o({oldest, free_size}),
      .count_o()
  );

  // The oldest page reads first.
  always_comb begin
    grant = want & (~want + 1'b1);
    if (open_valid && want[oldest]) begin
      grant = '0;
      grant[oldest] = 1'b1;
    end
    addr = '0;
    for (int unsigned i = 0; i < Cores; i++) if (grant[i]) addr |= read_addr[i];
  end

  // ---- cores ----
  logic [Cores-1:0] core_valid, core_ready, core_last;
  beat_t [Cores-1:0] core_beat;

  raw_decode u_raw (
      .clk_i,
      .rst_ni,
      .page_valid_i(core_page[CoreRaw]),
      .page_cfg_i(core_cfg[CoreRaw]),
      .page_base_i(core_base[CoreRaw]),
      .page_done_o(page_done[CoreRaw]),
      .read_o(want[CoreRaw]),
      .read_half_o(half[CoreRaw]),
      .read_addr_o(read_addr[CoreRaw]),
      .read_grant_i(grant[CoreRaw]),
      .read_data_i(read_data),
      .valid_o(core_valid[CoreRaw]),
      .ready_i(core_ready[CoreRaw]),
      .beat_o(core_beat[CoreRaw]),
      .last_o(core_last[CoreRaw])
  );
  rowq_decode u_rowq (
      .clk_i,
      .rst_ni,
      .page_valid_i(core_page[CoreRowq]),
      .page_cfg_i(core_cfg[CoreRowq]),
      .page_base_i(core_base[CoreRowq]),
      .page_done_o(page_done[CoreRowq]),
      .read_o(want[CoreRowq]),
      .read_half_o(half[CoreRowq]),
      .read_addr_o(read_addr[CoreRowq]),
      .read_grant_i(grant[CoreRowq]),
      .read_data_i(read_data),
      .valid_o(core_valid[CoreRowq]),
      .ready_i(core_ready[CoreRowq]),
      .beat_o(core_beat[CoreRowq]),
      .last_o(core_last[CoreRowq])
  );
  xpack_decode u_xpack (
      .clk_i,
      .rst_ni,
      .page_valid_i(core_page[CoreXpack]),
      .page_cfg_i(core_cfg[CoreXpack]),
      .page_base_i(core_base[CoreXpack]),
      .page_done_o(page_done[CoreXpack]),
      .read_o(want[CoreXpack]),
      .read_half_o(half[CoreXpack]),
      .read_addr_o(read_addr[CoreXpack]),
      .read_grant_i(grant[CoreXpack]),
      .read_data_i(read_data),
      .valid_o(core_valid[CoreXpack]),
      .ready_i(core_ready[CoreXpack]),
      .beat_o(core_beat[CoreXpack]),
      .last_o(core_last[CoreXpack])
  );
  q8_decode u_q8 (
      .clk_i,
      .rst_ni,
      .page_valid_i(core_page[CoreQ8]),
      .page_cfg_i(core_cfg[CoreQ8]),
      .page_base_i(core_base[CoreQ8]),
      .page_done_o(page_done[CoreQ8]),
      .read_o(want[CoreQ8]),
      .read_half_o(half[CoreQ8]),
      .read_addr_o(read_addr[CoreQ8]),
      .read_grant_i(grant[CoreQ8]),
      .read_data_i(read_data),
      .valid_o(core_valid[CoreQ8]),
      .ready_i(core_ready[CoreQ8]),
      .beat_o(core_beat[CoreQ8]),
      .last_o(core_last[CoreQ8])
  );

  // A page of chanq waits for the widths of its head.
  logic widths_valid;
  widths_t widths;

  chanq_widths u_widths (
      .clk_i,
      .rst_ni,
      .write_i(table_write_i.valid && table_write_i.addr >= TableAddrBits'(2 * TurnBeats)),
      .write_addr_i(table_write_i.addr[$clog2(2*WidthSlots)-1:0]),
      .write_data_i(table_write_i.data),
      .ask_i(page_next && core == CoreBits'(CoreChanq)),
      .slot_i(8'(widths_i) + (`MUT(112, layout_i.shared_widths, 1'b1) ? 8'd0 : head)),
      .valid_o(widths_valid),
      .widths_o(widths),
      .next_i(page_done[CoreChanq])
  );
  chanq_decode u_chanq (
      .clk_i,
      .rst_ni,
      .turn_write_i(table_write_i.valid && table_write_i.addr < TableAddrBits'(2 * TurnBeats)),
      .turn_addr_i(table_write_i.addr[$clog2(2*TurnBeats)-1:0]),
      .turn_data_i(table_write_i.data),
      .page_valid_i(core_page[CoreChanq] && widths_valid),
      .page_cfg_i(core_cfg[CoreChanq]),
      .page_base_i(core_base[CoreChanq]),
      .page_rope_i(layout_i.rope),
      .page_widths_i(widths),
      .page_done_o(page_done[CoreChanq]),
      .read_o(want[CoreChanq]),
      .read_half_o(half[CoreChanq]),
      .read_addr_o(read_addr[CoreChanq]),
      .read_grant_i(grant[CoreChanq]),
      .read_data_i(read_data),
      .valid_o(core_valid[CoreChanq]),
      .ready_i(core_ready[CoreChanq]),
      .beat_o(core_beat[CoreChanq]),
      .last_o(core_last[CoreChanq])
  );

  logic unused_tables;
  assign unused_tables = ^{widths_i[15:8], table_write_i.error};

  // ---- whose beats come next ----
  logic order_valid;
  logic [CoreBits-1:0] turn;

  prim_fifo #(
      .Width(CoreBits),
      .Depth(8)
  ) u_order (
      .clk_i,
      .rst_ni,
      .valid_i(page_next),
      .ready_o(order_ready),
      .data_i(core),
      .valid_o(order_valid),
      .ready_i(raw_valid_o && raw_ready_i && core_last[turn]),
      .data_o(turn),
      .count_o()
  );
  assign raw_valid_o = order_valid && core_valid[turn];
  assign raw_beat_o = core_beat[turn];
  always_comb begin
    core_ready = '0;
    core_ready[turn] = order_valid && raw_ready_i;
  end

  `SPECKV_ASSERT(DecodeLaneRingInRange, wrote_q - freed_q <= count_t'(RingUnits))
  `SPECKV_ASSERT(DecodeLaneDoneIsBusy, (page_done & ~core_page) == '0)
endmodule
