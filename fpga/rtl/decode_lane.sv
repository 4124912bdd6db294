// SPDX-License-Identifier: Apache-2.0
// decode_lane - stored beats of a segment in, raw beats out: page ring, walker, decoder cores.
//
// Stored beats go into the ring as they come. A page is handed to the core of its codec as soon as
// it lies there whole; the core says page_done when it has read it, the ring's units are free again,
// and the next page is handed out, to whichever core. Each core has its own queue, so a short core
// may be ahead of a long one: order_q remembers whose beats come next. So raw beats leave one a
// cycle, pages of different codecs too.
//
// A new core is a port of the arrays below: what is read, what leaves, and its codecs in core_of.
`include "speckv_check.svh"

module decode_lane
  import speckv_pkg::*;
  import engine_pkg::*;
(
    input  logic    clk_i,
    input  logic    rst_ni,
    input  logic    start_i,
    input  layout_t layout_i,
    input  logic    first_block_i,
    input  logic    stored_valid_i,
    output logic    stored_ready_o,
    input  beat_t   stored_beat_i,
    input  logic    stored_half_i,   // the segment ends with its first unit
    output logic    raw_valid_o,
    input  logic    raw_ready_i,
    output beat_t   raw_beat_o,
    input  logic    flip_i,
    output logic    error_o          // the ring's parity, a pulse
);
  localparam int unsigned Cores = 2;
  localparam int unsigned CoreBits = 1;
  localparam int unsigned CoreRaw = 0;
  localparam int unsigned CoreRowq = 1;
  typedef logic [RingAddrBits:0] count_t;  // units, one bit more than an address

  function automatic logic [CoreBits-1:0] core_of(input logic [4:0] codec);
    return is_rowq(codec) ? CoreBits'(CoreRowq) : CoreBits'(CoreRaw);
  endfunction

  // ---- the ring ----
  count_t wrote_q, base_q;  // base_q: first unit of the page at hand; what lies before is free
  count_t used;
  logic take, flip_q;
  logic [Cores-1:0] read;
  ring_addr_t [Cores-1:0] read_addr;
  ring_addr_t addr;
  beat_t read_data;

  assign used = wrote_q - base_q;
  assign stored_ready_o = used <= count_t'(RingUnits - `MUT(34, 2, 1));
  assign take = stored_valid_i && stored_ready_o;

  always_comb begin
    addr = '0;
    for (int unsigned i = 0; i < Cores; i++) if (read[i]) addr |= read_addr[i];
  end

  page_ring u_ring (
      .clk_i,
      .rst_ni,
      .write_i(take),
      .write_mask_i({!stored_half_i, 1'b1}),
      .write_addr_i(wrote_q[RingAddrBits-1:0]),
      .write_data_i(stored_beat_i),
      .read_i(read != '0),
      .read_addr_i(addr),
      .read_data_o(read_data),
      .flip_i(flip_q),
      .error_o
  );
  always_ff @(posedge clk_i) flip_q <= flip_i && rst_ni;

  // ---- pages ----
  logic page_valid, page_next, here, offered, order_ready;
  page_cfg_t page_cfg;
  page_units_t page_size;
  logic [CoreBits-1:0] core;
  logic [Cores-1:0] page_done;
  logic sent_q;  // the page at hand is in order_q

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
      .last_o(),
      .next_i(page_next)
  );
  assign core = core_of(page_cfg.codec);
  assign here = page_valid && used >= count_t'(page_size);
  assign offered = here && (sent_q || order_ready);
  assign page_next = page_done != '0;

  always_ff @(posedge clk_i) begin
    if (take) wrote_q <= wrote_q + (stored_half_i ? count_t'(1) : count_t'(2));
    if (page_next) base_q <= base_q + count_t'(page_size);
    sent_q <= offered && !page_next;
    if (!rst_ni) begin
      wrote_q <= '0;
      base_q <= '0;
      sent_q <= 1'b0;
    end
  end

  // ---- cores ----
  logic [Cores-1:0] core_page, core_valid, core_ready, core_last;
  beat_t [Cores-1:0] core_beat;

  for (genvar i = 0; i < Cores; i++) begin : gen_offer
    assign core_page[i] = offered && core == CoreBits'(i);
  end

  raw_decode u_raw (
      .clk_i,
      .rst_ni,
      .page_valid_i(core_page[CoreRaw]),
      .page_cfg_i(page_cfg),
      .page_base_i(base_q[RingAddrBits-1:0]),
      .page_done_o(page_done[CoreRaw]),
      .read_o(read[CoreRaw]),
      .read_addr_o(read_addr[CoreRaw]),
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
      .page_cfg_i(page_cfg),
      .page_base_i(base_q[RingAddrBits-1:0]),
      .page_done_o(page_done[CoreRowq]),
      .read_o(read[CoreRowq]),
      .read_addr_o(read_addr[CoreRowq]),
      .read_data_i(read_data),
      .valid_o(core_valid[CoreRowq]),
      .ready_i(core_ready[CoreRowq]),
      .beat_o(core_beat[CoreRowq]),
      .last_o(core_last[CoreRowq])
  );

  // ---- whose beats come next ----
  logic order_valid;
  logic [CoreBits-1:0] turn;

  prim_fifo #(
      .Width(CoreBits),
      .Depth(8)
  ) u_order (
      .clk_i,
      .rst_ni,
      .valid_i(here && !sent_q),
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

  `SPECKV_ASSERT(DecodeLaneRingInRange, used <= count_t'(RingUnits))
  `SPECKV_ASSERT(DecodeLaneOneReads, (read & (read - 1'b1)) == '0)
endmodule
