// SPDX-License-Identifier: Apache-2.0
// engine_complete - writes what became of descriptors into completion rings, in the order in which
// lanes finish.
//
// One completion at a time, its sources (lanes and CANCEL) in turn: 64 bytes, whose phase bit is 1
// in the ring's first round and changes with each. A completion counts (completed_o, tail_o, and
// so the interrupt) when the bus has answered its write, never before. A ring outside of its
// extent: nothing is written, the error log is told.
`include "speckv_check.svh"

module engine_complete
  import speckv_pkg::*;
  import engine_pkg::*;
#(
    parameter int unsigned Sources = 2
) (
    input  logic                           clk_i,
    input  logic                           rst_ni,
    input  extent_t    [Extents-1:0]       extents_i,
    input  queue_cfg_t [ Queues-1:0]       queues_i,
    input  logic       [ Queues-1:0]       queue_idle_i,
    input  logic       [Sources-1:0]       result_valid_i,
    output logic       [Sources-1:0]       result_ready_o,
    input  result_t    [Sources-1:0]       result_i,
    output logic       [ Queues-1:0]       completed_o,     // pulses
    output logic       [ Queues-1:0][15:0] tail_o,
    output logic                           told_o,          // with the result's status, a pulse
    output result_t                        told_result_o,
    output logic                           ring_error_o,    // a pulse
    input  logic                           stop_i,
    output logic                           idle_o,
    output logic                           addr_valid_o,
    input  logic                           addr_ready_i,
    output logic                           addr_device_o,
    output axi_addr_t                      addr_o,
    output logic                           write_valid_o,
    input  logic                           write_ready_i,
    output axi_write_t                     write_o,
    input  logic                           answer_valid_i,
    input  logic                           answer_error_i
);
  typedef enum logic [2:0] {
    StPick,
    StExtent,
    StMove,
    StBeat,
    StAnswer,
    StDone
  } state_e;

  state_e state_q;
  result_t result_q, picked;
  logic [Sources-1:0] grant;
  logic [Queues-1:0][15:0] tail_q;
  logic asked_q, extent_done, extent_ok, extent_device, beat_ready, write_done, write_error;
  logic failed_q, index;
  beat_addr_t extent_addr;
  move_t move_q;
  queue_cfg_t cfg;
  logic [15:0] tail, slots, index_mask;
  logic [31:0] slot;
  completion_t completion;

  assign index = result_q.queue_id[0];
  assign cfg = queues_i[index];
  assign tail = tail_q[index];
  assign slots = 16'd1 << cfg.log2_slots;
  assign index_mask = slots - 16'd1;
  assign slot = 32'(tail & index_mask);

  prim_arbiter #(
      .Ports(Sources)
  ) u_arbiter (
      .clk_i,
      .rst_ni,
      .request_i(result_valid_i),
      .take_i(state_q == StPick),
      .grant_o(grant)
  );
  assign result_ready_o = state_q == StPick ? grant : '0;
  always_comb begin
    picked = result_i[0];
    for (int unsigned i = 0; i < Sources; i++) if (grant[i]) picked = result_i[i];
  end

  always_comb begin
    completion = '0;
    completion.phase = `MUT(54, (tail & slots) == '0, 1'b1);
    completion.sq_head = result_q.sq_head;
    completion.bytes = result_q.bytes;
    completion.page = result_q.page;
    completion.refusal = result_q.refusal;
    completion.status = result_q.status;
    completion.checksum = result_q.checksum;
    completion.cookie = result_q.cookie;
  end

  extent_check u_extent (
      .clk_i,
      .rst_ni,
      .extents_i,
      .valid_i(state_q == StExtent && !asked_q),
      .extent_i(cfg.cq_extent),
      .offset_i(64'(cfg.cq_offset) + 64'({slot, 6'd0})),
      .beats_i(32'd1),
      .write_i(1'b1),
      .queue_i(result_q.queue_id),
      .valid_o(extent_done),
      .ok_o(extent_ok),
      .device_o(extent_device),
      .addr_o(extent_addr)
  );
  dma_write #(
      .QueueDepth(16)
  ) u_write (
      .clk_i,
      .rst_ni,
      .move_valid_i(state_q == StMove),
      .move_ready_o(),
      .move_i(move_q),
      .drop_i(1'b0),
      .stop_i,
      .idle_o,
      .done_o(write_done),
      .error_o(write_error),
      .addr_valid_o,
      .addr_ready_i,
      .addr_device_o,
      .addr_o,
      .write_valid_o,
      .write_ready_i,
      .write_o,
      .answer_valid_i,
      .answer_error_i,
      .valid_i(state_q == StBeat),
      .ready_o(beat_ready),
      .beat_i(completion)
  );

  always_ff @(posedge clk_i) begin
    asked_q <= 1'b1;
    unique case (state_q)
      StPick: begin
        asked_q <= 1'b0;
        failed_q <= 1'b0;
        result_q <= picked;
        if (result_valid_i != '0) state_q <= StExtent;
      end
      StExtent: begin
        move_q <= '{device: extent_device, addr: extent_addr, size: SegmentUnitBits'(2)};
        if (extent_done) begin
          state_q <= extent_ok ? StMove : StDone;
          failed_q <= !extent_ok;
        end
      end
      StMove: if (!stop_i) state_q <= StBeat;
      StBeat: if (beat_ready) state_q <= StAnswer;
      StAnswer: begin
        if (write_done) begin
          state_q <= StDone;
          failed_q <= write_error;
        end
      end
      default: state_q <= StPick;
    endcase
    if (!rst_ni) state_q <= StPick;
  end

  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < Queues; i++) begin
      if (completed_o[i]) tail_q[i] <= tail_q[i] + 16'd1;
      else if (!queues_i[i].enable && queue_idle_i[i]) tail_q[i] <= '0;
    end
    if (!rst_ni) tail_q <= '0;
  end
  always_comb begin
    completed_o = '0;
    completed_o[index] = state_q == StDone;
  end
  assign tail_o = tail_q;
  assign told_o = state_q == StDone;
  assign told_result_o = result_q;
  assign ring_error_o = state_q == StDone && failed_q;

  logic unused_cfg;
  assign unused_cfg = ^{cfg, result_q.queue_id[1]};

`ifdef SPECKV_FORMAL
  `SPECKV_PAST
  // Any one queue: slot and phase of its next completion, counted another way.
  logic watch;
  always_ff @(posedge clk_i) watch <= watch;
  logic [15:0] slot_q, slots_watched;
  logic phase_q, pending_q, taken, here;
  assign slots_watched = 16'd1 << queues_i[watch].log2_slots;
  assign taken = state_q == StPick && result_valid_i != '0;
  assign here = index == watch;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || (!queues_i[watch].enable && queue_idle_i[watch] && !completed_o[watch])) begin
      slot_q <= '0;
      phase_q <= 1'b1;
    end else if (completed_o[watch]) begin
      slot_q <= slot_q + 16'd1 == slots_watched ? '0 : slot_q + 16'd1;
      if (slot_q + 16'd1 == slots_watched) phase_q <= !phase_q;
    end
    if (!rst_ni) pending_q <= 1'b0;
    else if (taken) pending_q <= 1'b1;
    else if (completed_o != '0) pending_q <= 1'b0;
  end
  `SPECKV_ASSERT(CompleteSlot, slot_q == (tail_q[watch] & (slots_watched - 16'd1)))
  `SPECKV_ASSERT(CompletePhaseIs, phase_q == ((tail_q[watch] & slots_watched) == '0))
  `SPECKV_ASSERT(
      CompletePhase,
      !(state_q == StBeat && here) || (completion.phase == phase_q && slot[15:0] == slot_q))
  // Each result once: taken when none is under way, told once.
  `SPECKV_ASSERT(CompleteOne, pending_q == (state_q != StPick))
  `SPECKV_ASSERT(CompleteOnce, completed_o == '0 || pending_q)
  // It counts when the bus has answered, or when it could not be written at all.
  `SPECKV_ASSERT(CompleteAfterAnswer, !(past_valid && state_q == StDone && !failed_q) || $past
                 (write_done))
  // The driver changes a ring's size while it is off and idle; two queue pairs.
  logic [3:0] size_q;
  logic on_q;
  always_ff @(posedge clk_i) begin
    size_q <= queues_i[watch].log2_slots;
    on_q <= rst_ni && (queues_i[watch].enable || !queue_idle_i[watch]);
  end
  `SPECKV_ASSUME(CompleteSizeStands, !on_q || size_q == queues_i[watch].log2_slots)
  `SPECKV_ASSUME(CompleteQueues, result_i[0].queue_id < 2'd2 && result_i[1].queue_id < 2'd2)
  `SPECKV_ASSUME(CompleteIdleIsIdle, !(pending_q && here) || !queue_idle_i[watch])
  `SPECKV_COVER(CompleteSecondRound, completed_o[watch] && !phase_q)
`endif
endmodule
