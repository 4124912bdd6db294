// SPDX-License-Identifier: Apache-2.0
// engine - the codec engine: registers, rings, lanes, two buses. The top of what fpga/ delivers.
//
// A descriptor's way: doorbell (engine_regs) - engine_fetch reads it - a lane checks it, reads,
// decodes, writes - engine_complete writes the completion - engine_interrupt asks for a vector.
// Every address comes out of extent_check. LOAD fills table memory, for all lanes (engine_tables).
// Host memory and device memory (HDM) are one AXI4 master each, 512 bits wide; masters on a bus are
// told apart by id.
//
// CONTROL.reset ends what is under way: no burst is begun, those on the buses end, then all state
// but tables, table memory, counters and the error log is as after power-on.
`include "speckv_check.svh"

module engine
  import speckv_pkg::*;
  import engine_pkg::*;
#(
    parameter int unsigned Lanes = 1
) (
    input  logic               clk_i,
    input  logic               rst_ni,
    // Registers: AXI4-Lite.
    input  logic               s_awvalid_i,
    output logic               s_awready_o,
    input  logic [10:0]        s_awaddr_i,
    input  logic               s_wvalid_i,
    output logic               s_wready_o,
    input  logic [31:0]        s_wdata_i,
    input  logic [ 3:0]        s_wstrb_i,
    output logic               s_bvalid_o,
    input  logic               s_bready_i,
    output logic [ 1:0]        s_bresp_o,
    input  logic               s_arvalid_i,
    output logic               s_arready_o,
    input  logic [10:0]        s_araddr_i,
    output logic               s_rvalid_o,
    input  logic               s_rready_i,
    output logic [31:0]        s_rdata_o,
    output logic [ 1:0]        s_rresp_o,
    // MSI-X requests.
    output logic               msix_valid_o,
    input  logic               msix_ready_i,
    output logic [ 7:0]        msix_vector_o,
    // Two AXI4 masters: [0] host memory, [1] device memory. Bursts are INCR, 64 bytes a beat.
    output logic [ 1:0]        m_arvalid_o,
    input  logic [ 1:0]        m_arready_i,
    output logic [ 1:0][  3:0] m_arid_o,
    output logic [ 1:0][ 63:0] m_araddr_o,
    output logic [ 1:0][  7:0] m_arlen_o,
    input  logic [ 1:0]        m_rvalid_i,
    output logic [ 1:0]        m_rready_o,
    input  logic [ 1:0][  3:0] m_rid_i,
    input  logic [ 1:0][511:0] m_rdata_i,
    input  logic [ 1:0][  1:0] m_rresp_i,
    input  logic [ 1:0]        m_rlast_i,
    output logic [ 1:0]        m_awvalid_o,
    input  logic [ 1:0]        m_awready_i,
    output logic [ 1:0][  3:0] m_awid_o,
    output logic [ 1:0][ 63:0] m_awaddr_o,
    output logic [ 1:0][  7:0] m_awlen_o,
    output logic [ 1:0]        m_wvalid_o,
    input  logic [ 1:0]        m_wready_i,
    output logic [ 1:0][511:0] m_wdata_o,
    output logic [ 1:0][ 63:0] m_wstrb_o,
    output logic [ 1:0]        m_wlast_o,
    input  logic [ 1:0]        m_bvalid_i,
    output logic [ 1:0]        m_bready_o,
    input  logic [ 1:0][  3:0] m_bid_i,
    input  logic [ 1:0][  1:0] m_bresp_i
);
  // Master Lanes of each bus is the engine's own: descriptors, completions.
  localparam int unsigned Ports = Lanes + 1;
  localparam int unsigned Own = Lanes;
  localparam int unsigned IdBits = 4;

  // ---- registers ----
  logic enable, reset_asked, flip, resetting_q, core_rst_n, all_idle, bus_idle;
  extent_t [Extents-1:0] extents;
  layout_t [Layouts-1:0] layouts;
  queue_cfg_t [Queues-1:0] queues;
  logic [7:0] moderation_completions;
  logic [23:0] moderation_cycles;
  logic [Queues-1:0][15:0] sq_head, cq_tail;
  logic [Queues-1:0] completed, queue_idle;
  logic told, fetch_ring_error, complete_ring_error, fetched;
  logic [1:0] fetch_ring_queue;
  result_t told_result;
  logic [Lanes-1:0] busy, loading;
  table_write_t [Lanes-1:0] table_write;
  table_write_t table_write_all;
  table_state_t tables;

  engine_regs #(
      .Lanes(Lanes)
  ) u_regs (
      .clk_i,
      .rst_ni,
      .awvalid_i(s_awvalid_i),
      .awready_o(s_awready_o),
      .awaddr_i(s_awaddr_i),
      .wvalid_i(s_wvalid_i),
      .wready_o(s_wready_o),
      .wdata_i(s_wdata_i),
      .wstrb_i(s_wstrb_i),
      .bvalid_o(s_bvalid_o),
      .bready_i(s_bready_i),
      .bresp_o(s_bresp_o),
      .arvalid_i(s_arvalid_i),
      .arready_o(s_arready_o),
      .araddr_i(s_araddr_i),
      .rvalid_o(s_rvalid_o),
      .rready_i(s_rready_i),
      .rdata_o(s_rdata_o),
      .rresp_o(s_rresp_o),
      .enable_o(enable),
      .reset_o(reset_asked),
      .flip_o(flip),
      .extents_o(extents),
      .layouts_o(layouts),
      .queues_o(queues),
      .completions_o(moderation_completions),
      .cycles_o(moderation_cycles),
      .idle_i(all_idle),
      .resetting_i(resetting_q),
      .sq_head_i(sq_head),
      .cq_tail_i(cq_tail),
      .told_i(told),
      .told_result_i(told_result),
      .ring_error_i(fetch_ring_error || complete_ring_error),
      .ring_queue_i(complete_ring_error ? told_result.queue_id : fetch_ring_queue),
      .fetched_i(fetched),
      .beat_read_i(|m_rvalid_i),
      .beat_written_i(|(m_wvalid_o & m_wready_i)),
      .busy_i(|busy)
  );

  // ---- reset: wait for the buses, then a few cycles ----
  logic [2:0] reset_count_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      resetting_q <= 1'b0;
      reset_count_q <= '0;
    end else if (reset_asked) begin
      resetting_q <= 1'b1;
      reset_count_q <= '0;
    end else if (resetting_q && (bus_idle || reset_count_q != '0)) begin
      reset_count_q <= reset_count_q + 3'd1;
      if (reset_count_q == '1) resetting_q <= 1'b0;
    end
  end
  assign core_rst_n = rst_ni && reset_count_q == '0;

  // ---- rings ----
  logic job_valid;
  logic [Lanes-1:0] job_ready, job_grant, lane_idle, cancelled;
  job_t job, cancel_job;
  logic cancel_valid, cancel_ready, cancel_busy;
  cancel_t cancel;
  // Of the lanes, and of CANCEL.
  logic [Lanes:0] result_valid, result_ready;
  result_t [Lanes:0] result;
  logic fetch_idle, complete_idle;

  // Of all masters: side by bus is decided by what they ask for.
  logic [Ports-1:0] read_ask, read_ask_ready, read_device, read_here, write_ask, write_ask_ready;
  logic [Ports-1:0] write_device, write_valid, write_ready, answer_here, answer_error;
  axi_addr_t [Ports-1:0] read_addr, write_addr;
  axi_read_t  [Ports-1:0] read_beat;
  axi_write_t [Ports-1:0] write_beat;

  engine_fetch u_fetch (
      .clk_i,
      .rst_ni(core_rst_n),
      .enable_i(enable),
      .extents_i(extents),
      .queues_i(queues),
      .cq_tail_i(cq_tail),
      .completed_i(completed),
      .queue_idle_o(queue_idle),
      .sq_head_o(sq_head),
      .job_valid_o(job_valid),
      .job_ready_i(job_grant != '0),
      .job_o(job),
      .cancel_valid_o(cancel_valid),
      .cancel_ready_i(cancel_ready),
      .cancel_o(cancel_job),
      .ring_error_o(fetch_ring_error),
      .ring_queue_o(fetch_ring_queue),
      .stop_i(resetting_q),
      .idle_o(fetch_idle),
      .addr_valid_o(read_ask[Own]),
      .addr_ready_i(read_ask_ready[Own]),
      .addr_device_o(read_device[Own]),
      .addr_o(read_addr[Own]),
      .read_valid_i(read_here[Own]),
      .read_i(read_beat[Own])
  );
  // The first idle lane takes the job; tables are loaded while all the others are idle.
  logic job_free;
  logic [Lanes-1:0] job_idle;
  assign job_free = loading == '0 && (job.descriptor.opcode != OpLoad || job_ready == '1);
  assign job_idle = `MUT(170, job_ready, job_ready & Lanes'(1));
  assign job_grant = job_valid && job_free ? job_idle & (~job_idle + 1'b1) : '0;
  assign fetched = job_grant != '0 || (cancel_valid && cancel_ready);

  engine_cancel u_cancel (
      .clk_i,
      .rst_ni(core_rst_n),
      .job_valid_i(cancel_valid),
      .job_ready_o(cancel_ready),
      .job_i(cancel_job),
      .cancel_o(cancel),
      .found_i(cancelled != '0),
      .busy_o(cancel_busy),
      .result_valid_o(result_valid[Lanes]),
      .result_ready_i(result_ready[Lanes]),
      .result_o(result[Lanes])
  );

  for (genvar i = 0; i < Lanes; i++) begin : gen_lane
    lane u_lane (
        .clk_i,
        .rst_ni(core_rst_n),
        .extents_i(extents),
        .layouts_i(layouts),
        .tables_i(tables),
        .table_write_i(table_write_all),
        .table_write_o(table_write[i]),
        .job_valid_i(job_grant[i]),
        .job_ready_o(job_ready[i]),
        .job_i(job),
        .result_valid_o(result_valid[i]),
        .result_ready_i(result_ready[i]),
        .result_o(result[i]),
        .busy_o(busy[i]),
        .loading_o(loading[i]),
        .cancel_i(cancel),
        .cancelled_o(cancelled[i]),
        .flip_i(flip),
        .stop_i(resetting_q),
        .idle_o(lane_idle[i]),
        .read_addr_valid_o(read_ask[i]),
        .read_addr_ready_i(read_ask_ready[i]),
        .read_addr_device_o(read_device[i]),
        .read_addr_o(read_addr[i]),
        .read_valid_i(read_here[i]),
        .read_i(read_beat[i]),
        .write_addr_valid_o(write_ask[i]),
        .write_addr_ready_i(write_ask_ready[i]),
        .write_addr_device_o(write_device[i]),
        .write_addr_o(write_addr[i]),
        .write_valid_o(write_valid[i]),
        .write_ready_i(write_ready[i]),
        .write_o(write_beat[i]),
        .answer_valid_i(answer_here[i]),
        .answer_error_i(answer_error[i])
    );
  end

  engine_tables #(
      .Lanes(Lanes)
  ) u_tables (
      .clk_i,
      .rst_ni,
      .write_i(table_write),
      .write_o(table_write_all),
      .state_o(tables)
  );

  engine_complete #(
      .Sources(Lanes + 1)
  ) u_complete (
      .clk_i,
      .rst_ni(core_rst_n),
      .extents_i(extents),
      .queues_i(queues),
      .queue_idle_i(queue_idle),
      .result_valid_i(result_valid),
      .result_ready_o(result_ready),
      .result_i(result),
      .completed_o(completed),
      .tail_o(cq_tail),
      .told_o(told),
      .told_result_o(told_result),
      .ring_error_o(complete_ring_error),
      .stop_i(resetting_q),
      .idle_o(complete_idle),
      .addr_valid_o(write_ask[Own]),
      .addr_ready_i(write_ask_ready[Own]),
      .addr_device_o(write_device[Own]),
      .addr_o(write_addr[Own]),
      .write_valid_o(write_valid[Own]),
      .write_ready_i(write_ready[Own]),
      .write_o(write_beat[Own]),
      .answer_valid_i(answer_here[Own]),
      .answer_error_i(answer_error[Own])
  );

  engine_interrupt u_interrupt (
      .clk_i,
      .rst_ni(core_rst_n),
      .queues_i(queues),
      .completed_i(completed),
      .completions_i(moderation_completions),
      .cycles_i(moderation_cycles),
      .msix_valid_o,
      .msix_ready_i,
      .msix_vector_o
  );

  // ---- buses ----
  logic [1:0][Ports-1:0] bus_read_ready, bus_read_here, bus_write_ask_ready, bus_write_ready;
  logic [1:0][Ports-1:0] bus_answer_here;
  axi_read_t [1:0] bus_read_beat;
  logic [1:0] bus_answer_error;
  // Whose beats go to which bus: a master has one move at a time, so its side stands still.
  for (genvar s = 0; s < 2; s++) begin : gen_bus
    logic [Ports-1:0] read_side, write_side;
    axi_addr_t ar, aw;
    axi_write_t w;

    assign read_side = s == 1 ? read_device : ~read_device;
    assign write_side = s == 1 ? write_device : ~write_device;

    bus_read #(
        .Ports(Ports),
        .IdBits(IdBits)
    ) u_read (
        .clk_i,
        .rst_ni,
        .addr_valid_i(read_ask & read_side),
        .addr_ready_o(bus_read_ready[s]),
        .addr_i(read_addr),
        .read_valid_o(bus_read_here[s]),
        .read_o(bus_read_beat[s]),
        .arvalid_o(m_arvalid_o[s]),
        .arready_i(m_arready_i[s]),
        .arid_o(m_arid_o[s]),
        .ar_o(ar),
        .rvalid_i(m_rvalid_i[s]),
        .rid_i(m_rid_i[s]),
        .r_i({m_rresp_i[s][1], m_rdata_i[s]})
    );
    assign m_araddr_o[s] = {ar.addr, 6'd0};
    assign m_arlen_o[s] = ar.len;
    assign m_rready_o[s] = 1'b1;

    bus_write #(
        .Ports(Ports),
        .IdBits(IdBits)
    ) u_write (
        .clk_i,
        .rst_ni,
        .addr_valid_i(write_ask & write_side),
        .addr_ready_o(bus_write_ask_ready[s]),
        .addr_i(write_addr),
        .write_valid_i(write_valid & write_side),
        .write_ready_o(bus_write_ready[s]),
        .write_i(write_beat),
        .answer_valid_o(bus_answer_here[s]),
        .answer_error_o(bus_answer_error[s]),
        .awvalid_o(m_awvalid_o[s]),
        .awready_i(m_awready_i[s]),
        .awid_o(m_awid_o[s]),
        .aw_o(aw),
        .wvalid_o(m_wvalid_o[s]),
        .wready_i(m_wready_i[s]),
        .w_o(w),
        .bvalid_i(m_bvalid_i[s]),
        .bid_i(m_bid_i[s]),
        .berror_i(m_bresp_i[s][1])
    );
    assign m_awaddr_o[s] = {aw.addr, 6'd0};
    assign m_awlen_o[s] = aw.len;
    assign m_wdata_o[s] = w.data;
    assign m_wstrb_o[s] = w.strobe;
    assign m_wlast_o[s] = w.last;
    assign m_bready_o[s] = 1'b1;
  end

  always_comb begin
    read_ask_ready = bus_read_ready[0] | bus_read_ready[1];
    read_here = bus_read_here[0] | bus_read_here[1];
    write_ask_ready = bus_write_ask_ready[0] | bus_write_ask_ready[1];
    write_ready = (bus_write_ready[0] & ~write_device) | (bus_write_ready[1] & write_device);
    answer_here = bus_answer_here[0] | bus_answer_here[1];
    for (int unsigned i = 0; i < Ports; i++) begin
      read_beat[i] = bus_read_here[1][i] ? bus_read_beat[1] : bus_read_beat[0];
      answer_error[i] = bus_answer_here[1][i] ? bus_answer_error[1] : bus_answer_error[0];
    end
  end

  assign bus_idle = fetch_idle && complete_idle && lane_idle == '1;
  assign all_idle = bus_idle && busy == '0 && !cancel_busy && queue_idle == '1 && !resetting_q;

  logic unused_last;
  assign unused_last =
      ^{m_rlast_i, m_rresp_i[1][0], m_rresp_i[0][0], m_bresp_i[1][0], m_bresp_i[0][0]};
endmodule
