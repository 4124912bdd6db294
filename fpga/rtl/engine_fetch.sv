// SPDX-License-Identifier: Apache-2.0
// engine_fetch - reads descriptors out of submission rings and hands them to lanes, in each ring's
// order.
//
// One descriptor at a time, the queue pairs in turn; each pair has a place for one that waits for
// a lane, so that none stands before another pair's. CANCEL goes its own way. A descriptor is
// fetched only when its completion has a slot, so completions never wait and a completion ring is
// never written over. A doorbell more than a ring's slots ahead, or behind the one before, counts
// for nothing and is told to the error log, as is a ring outside of its extent: its queue then
// halts until it is disabled.
// While a queue is disabled and has nothing under way its indices are 0.
`include "speckv_check.svh"

module engine_fetch
  import speckv_pkg::*;
  import engine_pkg::*;
(
    input  logic                           clk_i,
    input  logic                           rst_ni,
    input  logic                           enable_i,
    input  extent_t    [Extents-1:0]       extents_i,
    input  queue_cfg_t [ Queues-1:0]       queues_i,
    input  logic       [ Queues-1:0][15:0] cq_tail_i,
    input  logic       [ Queues-1:0]       completed_i,     // a completion of the queue was written
    output logic       [ Queues-1:0]       queue_idle_o,
    output logic       [ Queues-1:0][15:0] sq_head_o,
    output logic                           job_valid_o,
    input  logic                           job_ready_i,
    output job_t                           job_o,
    output logic                           cancel_valid_o,
    input  logic                           cancel_ready_i,
    output job_t                           cancel_o,
    output logic                           ring_error_o,    // a pulse
    output logic       [        1:0]       ring_queue_o,
    input  logic                           stop_i,
    output logic                           idle_o,
    output logic                           addr_valid_o,
    input  logic                           addr_ready_i,
    output logic                           addr_device_o,
    output axi_addr_t                      addr_o,
    input  logic                           read_valid_i,
    input  axi_read_t                      read_i
);
  typedef enum logic [1:0] {
    StPick,
    StExtent,
    StAsk,
    StRead
  } state_e;

  state_e state_q;
  logic [Queues-1:0][15:0] head_q, tail_q, open_q;  // open: fetched, completion not written
  logic [Queues-1:0] halted_q, want, grant;
  logic [Queues-1:0][15:0] slots, ahead, rung_for;
  logic [1:0] queue_q, picked;
  queue_cfg_t cfg;
  logic asked_q, extent_done, extent_ok, extent_device, beat_valid, read_error, fetched;
  beat_addr_t extent_addr;
  move_t move_q;
  logic [Queues-1:0] held_q, jobs, cancels, job_grant, cancel_grant;
  job_t [Queues-1:0] held_job_q;
  beat_t beat;
  logic [31:0] slot;
  logic [15:0] index_mask;
  logic bad_bell;
  logic [Queues-1:0] bad_bells;

  // ---- which queue ----
  always_comb begin
    for (int unsigned i = 0; i < Queues; i++) begin
      slots[i] = 16'd1 << queues_i[i].log2_slots;
      ahead[i] = queues_i[i].sq_tail - head_q[i];
      want[i] = queues_i[i].enable && !halted_q[i] && !held_q[i] && tail_q[i] != head_q[i] &&
          cq_tail_i[i] - queues_i[i].cq_head + open_q[i] < `MUT(
          53, slots[i], slots[i] + 16'd1);
      rung_for[i] = tail_q[i] - head_q[i];
      bad_bells[i] = queues_i[i].enable && queues_i[i].sq_rung && (ahead[i] > slots[i] || ahead[i] <
      `MUT(162, rung_for[i], 16'd0)
      );
    end
  end
  prim_arbiter #(
      .Ports(Queues)
  ) u_arbiter (
      .clk_i,
      .rst_ni,
      .request_i(want),
      .take_i(state_q == StPick && enable_i && !stop_i),
      .grant_o(grant)
  );
  always_comb begin
    picked = '0;
    for (int unsigned i = 0; i < Queues; i++) if (grant[i]) picked = 2'(i);
  end
  assign cfg = queues_i[queue_q[0]];
  assign index_mask = slots[queue_q[0]] - 16'd1;
  assign slot = 32'(head_q[queue_q[0]] & index_mask);
  assign bad_bell = bad_bells != '0;

  // ---- reading ----
  extent_check u_extent (
      .clk_i,
      .rst_ni,
      .extents_i,
      .valid_i(state_q == StExtent && !asked_q),
      .extent_i(cfg.sq_extent),
      .offset_i(64'(cfg.sq_offset) + 64'({slot, 6'd0})),
      .beats_i(32'd1),
      .write_i(1'b0),
      .queue_i(queue_q),
      .valid_o(extent_done),
      .ok_o(extent_ok),
      .device_o(extent_device),
      .addr_o(extent_addr)
  );
  dma_read #(
      .QueueDepth(16)
  ) u_read (
      .clk_i,
      .rst_ni,
      .move_valid_i(state_q == StAsk),
      .move_ready_o(),
      .move_i(move_q),
      .stop_i,
      .idle_o,
      .error_o(read_error),
      .addr_valid_o,
      .addr_ready_i,
      .addr_device_o,
      .addr_o,
      .read_valid_i,
      .read_i,
      .valid_o(beat_valid),
      .ready_i(1'b1),
      .beat_o(beat),
      .half_o(),
      .last_o()
  );

  assign fetched = state_q == StRead && beat_valid;

  always_ff @(posedge clk_i) begin
    asked_q <= 1'b1;
    unique case (state_q)
      StPick: begin
        asked_q <= 1'b0;
        queue_q <= picked;
        if (want != '0 && enable_i && !stop_i) state_q <= StExtent;
      end
      StExtent: begin
        move_q <= '{device: extent_device, addr: extent_addr, size: SegmentUnitBits'(2)};
        if (extent_done) state_q <= extent_ok ? StAsk : StPick;
      end
      StAsk: if (!stop_i) state_q <= StRead;
      default: if (beat_valid) state_q <= StPick;
    endcase
    if (!rst_ni) state_q <= StPick;
  end

  // ---- what waits for a lane, or for cancelling ----
  always_comb begin
    job_o = held_job_q[0];
    cancel_o = held_job_q[0];
    for (int unsigned i = 0; i < Queues; i++) begin
      cancels[i] = held_q[i] && !held_job_q[i].failed &&
          held_job_q[i].descriptor.opcode == OpCancel;
      jobs[i] = held_q[i] && !cancels[i];
      if (job_grant[i]) job_o = held_job_q[i];
      if (cancel_grant[i]) cancel_o = held_job_q[i];
    end
  end
  assign job_valid_o = jobs != '0;
  assign cancel_valid_o = cancels != '0;
  assign cancel_grant = cancels & (~cancels + 1'b1);
  prim_arbiter #(
      .Ports(Queues)
  ) u_jobs (
      .clk_i,
      .rst_ni,
      .request_i(jobs),
      .take_i(job_ready_i),
      .grant_o(job_grant)
  );
  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < Queues; i++) begin
      if ((job_ready_i && job_grant[i]) || (cancel_ready_i && cancel_grant[i])) held_q[i] <= 1'b0;
      if (fetched && queue_q == 2'(i)) begin
        held_q[i] <= 1'b1;
        held_job_q[i] <= '{
            queue_id: queue_q,
            failed: read_error,
            sq_head: head_q[i] + 16'd1,
            descriptor: beat
        };
      end
    end
    if (!rst_ni) held_q <= '0;
  end

  // ---- indices ----
  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < Queues; i++) begin
      open_q[i] <= open_q[i] + 16'(fetched && queue_q == 2'(i)) - 16'(completed_i[i]);
      if (fetched && queue_q == 2'(i)) head_q[i] <= head_q[i] + 16'd1;
      if (queues_i[i].sq_rung && queues_i[i].enable && !bad_bells[i])
        tail_q[i] <= queues_i[i].sq_tail;
      if (state_q == StExtent && extent_done && !extent_ok && queue_q == 2'(i)) halted_q[i] <= 1'b1;
      if (!queues_i[i].enable && queue_idle_o[i]) begin
        head_q[i] <= '0;
        tail_q[i] <= '0;
        halted_q[i] <= 1'b0;
      end
    end
    if (!rst_ni) begin
      head_q <= '0;
      tail_q <= '0;
      open_q <= '0;
      halted_q <= '0;
    end
  end
  always_comb begin
    for (int unsigned i = 0; i < Queues; i++)
    queue_idle_o[i] = open_q[i] == '0 && (state_q == StPick || queue_q != 2'(i));
  end
  assign sq_head_o = head_q;

  assign ring_error_o = bad_bell || (state_q == StExtent && extent_done && !extent_ok);
  assign ring_queue_o = bad_bell ? 2'(bad_bells[1]) : queue_q;

  logic unused_cfg;
  assign unused_cfg = ^{queue_q[1], cfg};

`ifdef SPECKV_FORMAL
  `SPECKV_PAST
  `SPECKV_ASSERT(FetchQueueExists, state_q == StPick || queue_q < 2'd2)
  // Of each queue: its slots are fetched one after the other, none twice, none that was not rung
  // for; what was fetched is handed on once.
  for (genvar i = 0; i < Queues; i++) begin : gen_ring
    logic [15:0] next_q, left, room_q;
    logic [16:0] used, used_q;
    logic under_way, taken, taken_q, handed, off, on_q;
    logic [3:0] size_q;
    assign under_way = state_q != StPick && queue_q == 2'(i);
    assign taken = fetched && queue_q == 2'(i);
    assign handed = (job_ready_i && job_grant[i]) || (cancel_ready_i && cancel_grant[i]);
    assign off = !queues_i[i].enable && queue_idle_o[i];
    assign left = tail_q[i] - head_q[i];
    // Slots of the completion ring that are taken or spoken for.
    assign room_q = cq_tail_i[i] - queues_i[i].cq_head;
    assign used = 17'(room_q) + 17'(open_q[i]);
    always_ff @(posedge clk_i) begin
      if (!rst_ni || off) next_q <= '0;
      else if (taken) next_q <= next_q + 16'd1;
      size_q <= queues_i[i].log2_slots;
      on_q <= rst_ni && !off;
      used_q <= used;
      taken_q <= taken;
    end
    `SPECKV_ASSERT(FetchInOrder, head_q[i] == next_q)
    `SPECKV_ASSERT(FetchRungFor, left <= slots[i] && (!under_way || left != '0))
    `SPECKV_ASSERT(FetchOnePlace, !(held_q[i] && under_way))
    `SPECKV_ASSERT(FetchHandsOnItsOwn, !handed || held_q[i])
    `SPECKV_ASSERT(FetchHeldIsLast, !held_q[i] || held_job_q[i].sq_head == head_q[i])
    `SPECKV_ASSERT(FetchOpenIsHeld, !held_q[i] || open_q[i] != '0)
    `SPECKV_ASSERT(FetchSpokenFor, !under_way || used < 17'(slots[i]))
    // The driver changes a ring's size while it is off and idle; a job is completed once, into a
    // slot of its own; completions are taken that are there.
    `SPECKV_ASSUME(FetchSizeStands, !on_q || size_q == queues_i[i].log2_slots)
    `SPECKV_ASSUME(FetchUsedFalls, !on_q || used <= used_q + 17'(taken_q))
    `SPECKV_ASSUME(FetchUsedFits, used <= 17'(slots[i]))
    `SPECKV_ASSUME(FetchCompletedOnce, !completed_i[i] || open_q[i] > 16'(held_q[i]))
    `SPECKV_COVER(FetchSecondRound, taken && head_q[i] == slots[i])
  end
`endif

  `SPECKV_ASSERT(FetchHasPlace, !fetched || !held_q[queue_q[0]])
  `SPECKV_ASSERT(FetchCompletionHasSlot, !fetched || open_q[queue_q[0]] < slots[queue_q[0]])
endmodule
