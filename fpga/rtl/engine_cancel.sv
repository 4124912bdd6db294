// SPDX-License-Identifier: Apache-2.0
// engine_cancel - CANCEL: asks the lanes whether they have a job of the same queue pair with this
// cookie; the one that has it ends it, as CANCELLED.
//
// A descriptor at a time, 2 cycles; a result as a lane gives it. A job that has ended or is about
// to is not found, and completes by itself: each job completes once. Queue pairs cannot cancel each
// other's. source_offset has the cookie; all else but the own cookie is 0.
`include "speckv_check.svh"

module engine_cancel
  import engine_pkg::*;
(
    input  logic    clk_i,
    input  logic    rst_ni,
    input  logic    job_valid_i,
    output logic    job_ready_o,
    input  job_t    job_i,
    output cancel_t cancel_o,
    input  logic    found_i,         // in the same cycle
    output logic    busy_o,
    output logic    result_valid_o,
    input  logic    result_ready_i,
    output result_t result_o
);
  typedef enum logic [1:0] {
    StIdle,
    StAsk,
    StResult
  } state_e;

  state_e state_q;
  job_t job_q;
  status_e status_q;
  descriptor_t descriptor, allowed;
  logic reserved_set;

  assign descriptor = job_q.descriptor;
  always_comb begin
    allowed = '0;
    allowed.opcode = descriptor.opcode;
    allowed.cookie = descriptor.cookie;
    allowed.source_offset = descriptor.source_offset;
  end
  assign reserved_set = descriptor != allowed;
  assign job_ready_o = state_q == StIdle;
  assign busy_o = state_q != StIdle;
  assign cancel_o = '{
          valid: state_q == StAsk && !reserved_set,
          queue_id: job_q.queue_id,
          cookie: descriptor.source_offset
      };

  always_ff @(posedge clk_i) begin
    unique case (state_q)
      StIdle: begin
        job_q <= job_i;
        if (job_valid_i) state_q <= StAsk;
      end
      StAsk: begin
        state_q <= StResult;
        status_q <= reserved_set ? StatusReserved : found_i ? StatusOk : StatusNotFound;
      end
      default: if (result_ready_i) state_q <= StIdle;
    endcase
    if (!rst_ni) state_q <= StIdle;
  end

  assign result_valid_o = state_q == StResult;
  always_comb begin
    result_o = '0;
    result_o.queue_id = job_q.queue_id;
    result_o.sq_head = job_q.sq_head;
    result_o.cookie = descriptor.cookie;
    result_o.status = status_q;
  end

  logic unused_failed;
  assign unused_failed = job_q.failed;
endmodule
