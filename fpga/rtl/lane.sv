// SPDX-License-Identifier: Apache-2.0
// lane - carries out one descriptor at a time: checks it, moves its bytes through a codec, tells
// what became of it.
//
// A job is taken when the lane is idle. Nothing is read or written before every check has passed:
// reserved bits, opcode, layout, length, both extents. Whatever goes wrong later (a bus error, a
// word of wrong parity) the bytes still move, so a job always ends; the first error in the order
// read, memory, write is its status. A refused page ends the job at once: bursts under way end,
// what was not written stays as it was. The result stands until result_ready_i.
`include "speckv_check.svh"

module lane
  import speckv_pkg::*;
  import engine_pkg::*;
(
    input  logic                     clk_i,
    input  logic                     rst_ni,
    input  extent_t    [Extents-1:0] extents_i,
    input  layout_t    [Layouts-1:0] layouts_i,
    input  logic                     job_valid_i,
    output logic                     job_ready_o,
    input  job_t                     job_i,
    output logic                     result_valid_o,
    input  logic                     result_ready_i,
    output result_t                  result_o,
    output logic                     busy_o,
    input  logic                     flip_i,
    input  logic                     stop_i,
    output logic                     idle_o,               // on the buses
    // Bus masters.
    output logic                     read_addr_valid_o,
    input  logic                     read_addr_ready_i,
    output logic                     read_addr_device_o,
    output axi_addr_t                read_addr_o,
    input  logic                     read_valid_i,
    input  axi_read_t                read_i,
    output logic                     write_addr_valid_o,
    input  logic                     write_addr_ready_i,
    output logic                     write_addr_device_o,
    output axi_addr_t                write_addr_o,
    output logic                     write_valid_o,
    input  logic                     write_ready_i,
    output axi_write_t               write_o,
    input  logic                     answer_valid_i,
    input  logic                     answer_error_i
);
  localparam int unsigned LayoutBits = $clog2(Layouts);

  typedef enum logic [3:0] {
    StIdle,
    StLook,
    StSize,
    StLength,
    StSource,
    StTarget,
    StStart,
    StRun,
    StAbort,
    StFlush,
    StResult
  } state_e;

  state_e state_q;
  job_t job_q;
  descriptor_t descriptor;
  layout_t layout_q;
  status_e status_q;
  logic asked_q;  // the check of this state is under way
  logic encode;
  logic sum_here_q, written_q, memory_error_q;
  logic [63:0] sum_q;

  assign descriptor = job_q.descriptor;
  assign encode = descriptor.opcode == OpEncode;

  // ---- checks ----
  logic size_done, layout_ok, supported;
  segment_units_t stored_units;
  logic [31:0] raw_beats, stored_beats;
  logic reserved_set;

  assign reserved_set = {descriptor.reserved_40, descriptor.reserved_36, descriptor.reserved_6,
                         descriptor.reserved_3, descriptor.reserved_flags} != '0;
  assign stored_beats = (32'(stored_units) + 32'd1) >> 1;

  segment_size u_size (
      .clk_i,
      .rst_ni,
      .start_i(state_q == StSize && !asked_q),
      .layout_i(layout_q),
      .first_block_i(descriptor.first_block),
      .codecs_i(encode ? EncodeMask : DecodeMask),
      .done_o(size_done),
      .layout_ok_o(layout_ok),
      .supported_o(supported),
      .stored_units_o(stored_units),
      .raw_beats_o(raw_beats)
  );

  logic extent_done, extent_ok, extent_device;
  beat_addr_t extent_addr;
  logic target;
  move_t source_q, target_q;
  logic [31:0] source_beats, target_beats;

  assign source_beats = encode ? raw_beats : stored_beats;
  assign target_beats = encode ? stored_beats : raw_beats;

  assign target = state_q == StTarget;
  extent_check u_extent (
      .clk_i,
      .rst_ni,
      .extents_i,
      .valid_i((state_q == StSource || state_q == StTarget) && !asked_q),
      .extent_i(target ? descriptor.target_extent : descriptor.source_extent),
      .offset_i(target ? descriptor.target_offset : descriptor.source_offset),
      .beats_i(target ? target_beats : source_beats),
      .write_i(target),
      .queue_i(job_q.queue_id),
      .valid_o(extent_done),
      .ok_o(extent_ok),
      .device_o(extent_device),
      .addr_o(extent_addr)
  );

  // ---- state ----
  logic read_error, write_error, write_done, start;

  assign start = state_q == StStart;
  assign job_ready_o = state_q == StIdle && !stop_i;
  assign busy_o = state_q != StIdle;

  always_ff @(posedge clk_i) begin
    asked_q <= 1'b1;
    unique case (state_q)
      StIdle: begin
        job_q <= job_i;
        if (job_valid_i && job_ready_o) state_q <= StLook;
      end
      StLook: begin
        state_q <= StResult;
        status_q <= StatusOk;
        layout_q <= layouts_i[descriptor.layout[LayoutBits-1:0]];
        if (job_q.failed) status_q <= StatusReadError;
        else if (reserved_set && `MUT(50, 1'b1, 1'b0)) status_q <= StatusReserved;
        else if (descriptor.opcode == OpDecode || encode) begin
          if (descriptor.layout >= 8'(Layouts)) status_q <= StatusBadLayout;
          else state_q <= StSize;
          asked_q <= 1'b0;
        end else if (descriptor.opcode != OpNop) status_q <= StatusBadOpcode;
      end
      StSize: if (size_done) state_q <= StLength;
      StLength: begin
        asked_q <= 1'b0;
        state_q <= StResult;
        if (!layout_ok) status_q <= StatusBadLayout;
        else if (!supported) status_q <= StatusUnsupported;
        else if (descriptor.bytes != {32'(stored_units) << 5} && `MUT(51, 1'b1, 1'b0))
          status_q <= StatusBadLength;
        else state_q <= StSource;
      end
      StSource: begin
        source_q <= '{
            device: extent_device,
            addr: extent_addr,
            size: encode ? SegmentUnitBits'(raw_beats << 1) : stored_units
        };
        if (extent_done) begin
          asked_q <= 1'b0;
          state_q <= extent_ok ? StTarget : StResult;
          if (!extent_ok) status_q <= StatusSource;
        end
      end
      StTarget: begin
        target_q <= '{
            device: extent_device,
            addr: extent_addr,
            size: encode ? stored_units : SegmentUnitBits'(raw_beats << 1)
        };
        if (extent_done) begin
          state_q <= extent_ok ? StStart : StResult;
          if (!extent_ok) status_q <= StatusTarget;
        end
      end
      StStart: state_q <= StRun;
      StRun: begin
        if (refused) begin
          state_q <= StAbort;
          refusal_q <= refusal;
          page_q <= refused_page;
          status_q <= StatusRefused;
        end else if (written_q && sum_here_q) begin
          state_q <= StResult;
          if (read_error) status_q <= StatusReadError;
          else if (memory_error_q) status_q <= StatusMemoryError;
          else if (write_error) status_q <= StatusWriteError;
        end
      end
      // A refusal: what is on the buses ends, the rest is thrown away.
      StAbort: begin
        if (idle_o) state_q <= StFlush;
        if (read_error) status_q <= StatusReadError;
      end
      StFlush: state_q <= StResult;
      default: if (result_ready_i) state_q <= StIdle;
    endcase
    if (!rst_ni) state_q <= StIdle;
  end

  // ---- moving ----
  logic flush_n, abort, read_stop, refused, first_q, sum_valid, read_idle, write_idle;
  logic decode_error, encode_error, memory_error, flip, flip_q;
  refusal_e refusal, refusal_q;
  logic [15:0] refused_page, page_q;
  logic [63:0] sum_made;
  // Beats in, beats out; the stored ones of the two are summed up.
  logic in_valid, in_ready, in_half, in_last, out_valid, out_ready;
  logic decode_in_ready, decode_out_valid, encode_in_ready, encode_out_valid, encode_half;
  logic encode_last, stored_take, stored_half, stored_last;
  beat_t in_beat, out_beat, decode_out, encode_out;

  assign abort = state_q == StAbort || state_q == StFlush;
  assign flush_n = rst_ni && state_q != StFlush;
  assign read_stop = stop_i || abort;

  dma_read u_read (
      .clk_i,
      .rst_ni(flush_n),
      .move_valid_i(start),
      .move_ready_o(),
      .move_i(source_q),
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
      .start_i(start && !encode),
      .layout_i(layout_q),
      .first_block_i(descriptor.first_block),
      .stored_valid_i(in_valid && !encode),
      .stored_ready_o(decode_in_ready),
      .stored_beat_i(in_beat),
      .stored_half_i(in_half),
      .raw_valid_o(decode_out_valid),
      .raw_ready_i(out_ready && !encode),
      .raw_beat_o(decode_out),
      .flip_i(flip && !encode),
      .error_o(decode_error)
  );
  encode_lane u_encode (
      .clk_i,
      .rst_ni(flush_n),
      .start_i(start && encode),
      .layout_i(layout_q),
      .first_block_i(descriptor.first_block),
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
  assign in_ready = encode ? encode_in_ready : decode_in_ready;
  assign out_valid = encode ? encode_out_valid : decode_out_valid;
  assign out_beat = encode ? encode_out : decode_out;
  assign memory_error = encode ? encode_error : decode_error;

  assign stored_take = encode ? out_valid && out_ready : in_valid && in_ready;
  assign stored_half = encode ? encode_half : in_half;
  assign stored_last = encode ? encode_last : in_last;
  checksum u_checksum (
      .clk_i,
      .rst_ni(flush_n),
      .valid_i(stored_take),
      .first_i(first_q),
      .last_i(stored_last),
      .half_i(stored_half),
      .beat_i(encode ? encode_out : in_beat),
      .valid_o(sum_valid),
      .sum_o(sum_made)
  );

  dma_write u_write (
      .clk_i,
      .rst_ni(flush_n),
      .move_valid_i(start),
      .move_ready_o(),
      .move_i(target_q),
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

  // A flip that was asked for meets the next job's first word.
  assign flip = start && flip_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start) flip_q <= 1'b0;
    else if (flip_i) flip_q <= 1'b1;
  end

  always_ff @(posedge clk_i) begin
    if (start) begin
      first_q <= 1'b1;
      sum_here_q <= 1'b0;
      written_q <= 1'b0;
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
  assign ran = (descriptor.opcode == OpDecode || encode) &&
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
          bytes: !ran || job_q.failed ? '0 : encode ? 32'(stored_units) << 5 : raw_beats << 6
      };

  `SPECKV_PAST
  `SPECKV_ASSERT(LaneResultHeld, `SPECKV_NEXT(result_valid_o && !result_ready_i, result_valid_o))
endmodule
