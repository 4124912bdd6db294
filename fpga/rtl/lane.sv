// SPDX-License-Identifier: Apache-2.0
// lane - carries out one descriptor at a time: checks it, moves its bytes through a codec, tells
// what became of it.
//
// A job is taken when the lane is idle. Nothing is read or written before every check has passed
// (job_check). Whatever goes wrong later (a bus error, a
// word of wrong parity) the bytes still move, so a job always ends; the first error in the order
// read, memory, write is its status. A refused page ends the job at once: bursts under way end,
// what was not written stays as it was; so does CANCEL. The result stands until result_ready_i.
`include "speckv_check.svh"

module lane
  import speckv_pkg::*;
  import engine_pkg::*;
(
    input  logic                       clk_i,
    input  logic                       rst_ni,
    input  extent_t      [Extents-1:0] extents_i,
    input  layout_t      [Layouts-1:0] layouts_i,
    input  table_state_t               tables_i,
    input  table_write_t               table_write_i,        // of any lane
    output table_write_t               table_write_o,
    input  logic                       job_valid_i,
    output logic                       job_ready_o,
    input  job_t                       job_i,
    output logic                       result_valid_o,
    input  logic                       result_ready_i,
    output result_t                    result_o,
    output logic                       busy_o,
    output logic                       loading_o,            // it may write tables
    input  cancel_t                    cancel_i,
    output logic                       cancelled_o,          // it is this job, and ends
    input  logic                       flip_i,
    input  logic                       stop_i,
    output logic                       idle_o,               // on the buses
    // Bus masters.
    output logic                       read_addr_valid_o,
    input  logic                       read_addr_ready_i,
    output logic                       read_addr_device_o,
    output axi_addr_t                  read_addr_o,
    input  logic                       read_valid_i,
    input  axi_read_t                  read_i,
    output logic                       write_addr_valid_o,
    input  logic                       write_addr_ready_i,
    output logic                       write_addr_device_o,
    output axi_addr_t                  write_addr_o,
    output logic                       write_valid_o,
    input  logic                       write_ready_i,
    output axi_write_t                 write_o,
    input  logic                       answer_valid_i,
    input  logic                       answer_error_i
);
  typedef enum logic [2:0] {
    StIdle,
    StCheck,
    StStart,
    StRun,
    StAbort,
    StFlush,
    StResult
  } state_e;

  state_e state_q;
  job_t job_q;
  descriptor_t descriptor;
  status_e status_q, check_status;
  plan_t plan;
  logic encode, decode, load, fill, copy, check_done, ending, cancelled_q;
  logic sum_here_q, written_q, memory_error_q, refused;
  refusal_e refusal, refusal_q;
  logic [15:0] refused_page, page_q;
  logic [63:0] sum_q;

  assign descriptor = job_q.descriptor;
  assign encode = descriptor.opcode == OpEncode;
  assign decode = descriptor.opcode == OpDecode;
  assign load = descriptor.opcode == OpLoad;
  assign fill = descriptor.opcode == OpFill;
  assign copy = descriptor.opcode == OpCopy;

  job_check u_check (
      .clk_i,
      .rst_ni,
      .extents_i,
      .layouts_i,
      .tables_i,
      .start_i(job_valid_i && job_ready_o),
      .job_i(job_q),
      .done_o(check_done),
      .status_o(check_status),
      .plan_o(plan)
  );

  // ---- state ----
  logic read_error, write_error, write_done, start;

  assign start = state_q == StStart;
  assign job_ready_o = state_q == StIdle && !stop_i;
  assign busy_o = state_q != StIdle;
  assign loading_o = busy_o && load;

  // A job that is about to end by itself is not found any more: it completes once.
  assign ending = state_q == StCheck ? check_done :
      state_q == StRun && (refused || (written_q && sum_here_q));
  assign cancelled_o = cancel_i.valid && !job_q.failed && descriptor.cookie == cancel_i.cookie &&
      (job_q.queue_id == cancel_i.queue_id ||
      `MUT(115, 1'b0, 1'b1)
      ) && !cancelled_q && (!ending ||
      `MUT(116, 1'b0, 1'b1)
      ) && (state_q == StCheck || state_q == StStart || state_q == StRun);

  always_ff @(posedge clk_i) begin
    if (cancelled_o) cancelled_q <= 1'b1;
    if (!rst_ni || state_q == StIdle) cancelled_q <= 1'b0;
    unique case (state_q)
      StIdle: begin
        job_q <= job_i;
        if (job_valid_i && job_ready_o) state_q <= StCheck;
      end
      StCheck: begin
        status_q <= cancelled_q ? StatusCancelled : check_status;
        if (check_done) begin
          state_q <= StResult;
          if (check_status == StatusOk && !cancelled_q && (plan.reads || plan.writes))
            state_q <= StStart;
        end
      end
      StStart: state_q <= StRun;
      StRun: begin
        if (refused) begin
          state_q <= StAbort;
          refusal_q <= refusal;
          page_q <= refused_page;
          status_q <= StatusRefused;
        end else if (cancelled_q) begin
          state_q <= StAbort;
          status_q <= StatusCancelled;
        end else if (written_q && sum_here_q) begin
          state_q <= StResult;
          if (read_error) status_q <= StatusReadError;
          else if (memory_error_q) status_q <= StatusMemoryError;
          else if (write_error) status_q <= StatusWriteError;
        end
      end
      // Refused or cancelled: what is on the buses ends, the rest is thrown away.
      StAbort: begin
        if (idle_o) state_q <= StFlush;
        if (read_error && status_q == StatusRefused) status_q <= StatusReadError;
      end
      StFlush: state_q <= StResult;
      default: if (result_ready_i) state_q <= StIdle;
    endcase
    if (!rst_ni) state_q <= StIdle;
  end

  // ---- moving ----
  logic flush_n, abort, read_stop, first_q, sum_valid, read_idle, write_idle;
  logic decode_error, encode_error, memory_error, flip, flip_q;
  logic [63:0] sum_made;
  // Beats in, beats out; the stored ones of the two are summed up.
  logic in_valid, in_ready, in_half, in_last, out_valid, out_ready;
  logic decode_in_ready, decode_out_valid, encode_in_ready, encode_out_valid, encode_half;
  logic encode_last, stored_take, stored_half, stored_last;
  beat_t in_beat, out_beat, decode_out, encode_out;
  segment_units_t fill_left_q;
  logic sum_out;

  assign abort = state_q == StAbort || state_q == StFlush;
  assign flush_n = rst_ni && state_q != StFlush;
  assign read_stop = stop_i || abort;

  dma_read u_read (
      .clk_i,
      .rst_ni(flush_n),
      .move_valid_i(start && plan.reads),
      .move_ready_o(),
      .move_i(plan.source),
      .stop_i(read_stop),
      .idle_o(read_idle),
      .error_o(read_error),
      .addr_valid_o(read_addr_valid_o),
      .addr_ready_i(read_addr_ready_i),
      .addr_device_o(read_addr_device_o),
      .addr_o(read_addr_o),
      .read_valid_i,
      .read_i,
      .valid_o(in_valid),
      .ready_i(in_ready),
      .beat_o(in_beat),
      .half_o(in_half),
      .last_o(in_last)
  );

  decode_lane u_decode (
      .clk_i,
      .rst_ni(flush_n),
      .table_write_i(table_write_i),
      .start_i(start && decode),
      .layout_i(plan.layout),
      .first_block_i(descriptor.first_block),
      .widths_i(descriptor.widths),
      .stored_valid_i(in_valid && decode),
      .stored_ready_o(decode_in_ready),
      .stored_beat_i(in_beat),
      .stored_half_i(in_half),
      .raw_valid_o(decode_out_valid),
      .raw_ready_i(out_ready && decode),
      .raw_beat_o(decode_out),
      .flip_i(flip && decode),
      .error_o(decode_error)
  );
  encode_lane u_encode (
      .clk_i,
      .rst_ni(flush_n),
      .table_write_i,
      .start_i(start && encode),
      .layout_i(plan.layout),
      .first_block_i(descriptor.first_block),
      .widths_i(descriptor.widths),
      .raw_valid_i(in_valid && encode),
      .raw_ready_o(encode_in_ready),
      .raw_beat_i(in_beat),
      .stored_valid_o(encode_out_valid),
      .stored_ready_i(out_ready && encode),
      .stored_beat_o(encode_out),
      .stored_half_o(encode_half),
      .stored_last_o(encode_last),
      .refused_o(refused),
      .refusal_o(refusal),
      .page_o(refused_page),
      .flip_i(flip && encode),
      .error_o(encode_error)
  );
  always_comb begin
    in_ready = 1'b1;
    out_valid = 1'b0;
    out_beat = in_beat;
    if (encode) begin
      in_ready = encode_in_ready;
      out_valid = encode_out_valid;
      out_beat = encode_out;
    end else if (decode) begin
      in_ready = decode_in_ready;
      out_valid = decode_out_valid;
      out_beat = decode_out;
    end else if (copy) begin
      in_ready = out_ready;
      out_valid = in_valid;
    end else if (fill) begin
      out_valid = fill_left_q != '0;
      out_beat = {8{descriptor.source_offset}};
    end
  end
  assign memory_error = encode ? encode_error : decode_error;

  // What is summed up: stored bytes of the two, and whatever else moves.
  assign sum_out = encode || fill;
  assign stored_take = sum_out ? out_valid && out_ready : in_valid && in_ready;
  always_comb begin
    stored_half = in_half;
    stored_last = in_last;
    if (encode) begin
      stored_half = encode_half;
      stored_last = encode_last;
    end else if (fill) begin
      stored_half = fill_left_q == SegmentUnitBits'(1);
      stored_last = fill_left_q <= `MUT(117, SegmentUnitBits'(2), SegmentUnitBits'(1));
    end
  end
  always_ff @(posedge clk_i) begin
    if (start) fill_left_q <= plan.stored_units;
    else if (fill && stored_take)
      fill_left_q <= stored_last ? '0 : fill_left_q - SegmentUnitBits'(2);
    if (!rst_ni) fill_left_q <= '0;
  end
  checksum u_checksum (
      .clk_i,
      .rst_ni(flush_n),
      .valid_i(stored_take),
      .first_i(first_q),
      .last_i(stored_last),
      .half_i(stored_half),
      .beat_i(sum_out ? out_beat : in_beat),
      .valid_o(sum_valid),
      .sum_o(sum_made)
  );

  dma_write u_write (
      .clk_i,
      .rst_ni(flush_n),
      .move_valid_i(start && plan.writes),
      .move_ready_o(),
      .move_i(plan.target),
      .drop_i(abort),
      .stop_i,
      .idle_o(write_idle),
      .done_o(write_done),
      .error_o(write_error),
      .addr_valid_o(write_addr_valid_o),
      .addr_ready_i(write_addr_ready_i),
      .addr_device_o(write_addr_device_o),
      .addr_o(write_addr_o),
      .write_valid_o,
      .write_ready_i,
      .write_o,
      .answer_valid_i,
      .answer_error_i,
      .valid_i(out_valid && !abort),
      .ready_o(out_ready),
      .beat_i(out_beat)
  );
  assign idle_o = read_idle && write_idle;

  // ---- tables ----
  table_addr_t table_addr_q;
  always_ff @(posedge clk_i) begin
    if (start) table_addr_q <= descriptor.target_offset[6+:TableAddrBits];
    else if (table_write_o.valid) table_addr_q <= table_addr_q + 1'b1;
  end
  assign table_write_o = '{
          valid: load && in_valid && !abort,
          error: read_error,
          addr: table_addr_q,
          data: in_beat
      };

  // A flip that was asked for meets the next job's first word.
  assign flip = start && flip_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || (start && (encode || decode))) flip_q <= 1'b0;
    else if (flip_i) flip_q <= 1'b1;
  end

  always_ff @(posedge clk_i) begin
    if (start) begin
      first_q <= 1'b1;
      sum_here_q <= 1'b0;
      written_q <= !plan.writes;
      memory_error_q <= `MUT(52, 1'b0, memory_error_q);
    end else begin
      if (stored_take) first_q <= 1'b0;
      if (sum_valid) sum_here_q <= 1'b1;
      if (write_done) written_q <= 1'b1;
      if (memory_error) memory_error_q <= 1'b1;
    end
    if (sum_valid) sum_q <= sum_made;
  end

  // ---- result ----
  logic ran;
  assign ran = descriptor.opcode != OpNop &&
      (status_q == StatusOk || status_q == StatusReadError || status_q == StatusMemoryError ||
       status_q == StatusWriteError);
  assign result_valid_o = state_q == StResult;
  assign result_o = '{
          queue_id: job_q.queue_id,
          sq_head: job_q.sq_head,
          cookie: job_q.failed ? '0 : descriptor.cookie,
          checksum: ran && !job_q.failed ? sum_q : '0,
          status: status_q,
          refusal: status_q == StatusRefused ? 8'(refusal_q) : '0,
          page: status_q == StatusRefused ? page_q : '0,
          bytes:
          !
          ran
          ||
          job_q.failed
          || !
          plan.writes
          ?
          '0
          :
          decode
          ?
          plan.raw_beats << 6
          : 32'(
          plan.stored_units
          ) << 5
      };

  logic unused_descriptor;
  assign unused_descriptor = ^descriptor;

  `SPECKV_PAST
  `SPECKV_ASSERT(LaneResultHeld, `SPECKV_NEXT(result_valid_o && !result_ready_i, result_valid_o))
endmodule
