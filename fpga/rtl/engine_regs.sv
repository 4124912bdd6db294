// SPDX-License-Identifier: Apache-2.0
// engine_regs - the register block (made from speckv_regs.rdl) in the words of engine_pkg, and what
// it shows of the engine: counters and the error log.
//
// AXI4-Lite, 32 bits. Counters and the log survive the engine's own reset (CONTROL), not rst_ni.
`include "speckv_check.svh"

module engine_regs
  import speckv_pkg::*;
  import engine_pkg::*;
#(
    parameter int unsigned Lanes = 1
) (
    input  logic                           clk_i,
    input  logic                           rst_ni,
    // AXI4-Lite.
    input  logic                           awvalid_i,
    output logic                           awready_o,
    input  logic       [       10:0]       awaddr_i,
    input  logic                           wvalid_i,
    output logic                           wready_o,
    input  logic       [       31:0]       wdata_i,
    input  logic       [        3:0]       wstrb_i,
    output logic                           bvalid_o,
    input  logic                           bready_i,
    output logic       [        1:0]       bresp_o,
    input  logic                           arvalid_i,
    output logic                           arready_o,
    input  logic       [       10:0]       araddr_i,
    output logic                           rvalid_o,
    input  logic                           rready_i,
    output logic       [       31:0]       rdata_o,
    output logic       [        1:0]       rresp_o,
    // What software has set.
    output logic                           enable_o,
    output logic                           reset_o,         // a pulse
    output logic                           flip_o,          // a pulse
    output extent_t    [Extents-1:0]       extents_o,
    output layout_t    [Layouts-1:0]       layouts_o,
    output queue_cfg_t [ Queues-1:0]       queues_o,
    output logic       [        7:0]       completions_o,
    output logic       [       23:0]       cycles_o,
    // What it sees.
    input  logic                           idle_i,
    input  logic                           resetting_i,
    input  logic       [ Queues-1:0][15:0] sq_head_i,
    input  logic       [ Queues-1:0][15:0] cq_tail_i,
    input  logic                           told_i,
    input  result_t                        told_result_i,
    input  logic                           ring_error_i,
    input  logic       [        1:0]       ring_queue_i,
    input  logic                           fetched_i,
    input  logic                           beat_read_i,
    input  logic                           beat_written_i,
    input  logic                           busy_i
);
  localparam int unsigned Counters = 6;

  speckv_regs_pkg::speckv_regs__in_t  in;
  speckv_regs_pkg::speckv_regs__out_t out;

  speckv_regs u_regs (
      .clk(clk_i),
      .rst_n(rst_ni),
      .s_axil_awready(awready_o),
      .s_axil_awvalid(awvalid_i),
      .s_axil_awaddr(awaddr_i),
      .s_axil_awprot(3'd0),
      .s_axil_wready(wready_o),
      .s_axil_wvalid(wvalid_i),
      .s_axil_wdata(wdata_i),
      .s_axil_wstrb(wstrb_i),
      .s_axil_bready(bready_i),
      .s_axil_bvalid(bvalid_o),
      .s_axil_bresp(bresp_o),
      .s_axil_arready(arready_o),
      .s_axil_arvalid(arvalid_i),
      .s_axil_araddr(araddr_i),
      .s_axil_arprot(3'd0),
      .s_axil_rready(rready_i),
      .s_axil_rvalid(rvalid_o),
      .s_axil_rdata(rdata_o),
      .s_axil_rresp(rresp_o),
      .hwif_in(in),
      .hwif_out(out)
  );

  // ---- out ----
  assign enable_o = out.CONTROL.enable.value;
  assign reset_o = out.CONTROL.reset.value;
  assign flip_o = out.CONTROL.flip.value;
  assign completions_o = out.MODERATION.completions.value;
  assign cycles_o = out.MODERATION.cycles.value;

  for (genvar i = 0; i < Extents; i++) begin : gen_extent
    assign extents_o[i] = '{
            valid: out.EXTENTS[i].FLAGS.valid.value,
            device: out.EXTENTS[i].FLAGS.device.value,
            writable: out.EXTENTS[i].FLAGS.writable.value,
            queues: out.EXTENTS[i].FLAGS.queues.value,
            beats: out.EXTENTS[i].SIZE.beats.value,
            base: {out.EXTENTS[i].BASE_HIGH.value.value, out.EXTENTS[i].BASE_LOW.value.value[31:6]}
        };
    logic unused_low;
    assign unused_low = ^out.EXTENTS[i].BASE_LOW.value.value[5:0];
  end
  for (genvar i = 0; i < Layouts; i++) begin : gen_layout
    assign layouts_o[i] = '{
            valid: out.LAYOUTS[i].SHAPE.valid.value,
            bf16: out.LAYOUTS[i].SHAPE.bf16.value,
            tokens: out.LAYOUTS[i].SHAPE.tokens.value,
            blocks: out.LAYOUTS[i].SHAPE.blocks.value,
            heads: out.LAYOUTS[i].SHAPE.heads.value,
            pages: out.LAYOUTS[i].SHAPE.pages.value,
            codec_k: out.LAYOUTS[i].CODECS.k.value,
            codec_v: out.LAYOUTS[i].CODECS.v.value,
            codec_first: out.LAYOUTS[i].CODECS.first.value,
            shared_widths: out.LAYOUTS[i].ROPE.shared_widths.value,
            rope: '{
                half_split: out.LAYOUTS[i].ROPE.half_split.value,
                theta: out.LAYOUTS[i].ROPE.theta.value,
                rotated: out.LAYOUTS[i].ROPE.rotated.value
            }
        };
  end
  for (genvar i = 0; i < Queues; i++) begin : gen_queue
    // The register has its new value one cycle after the write.
    logic rung_q;
    always_ff @(posedge clk_i) rung_q <= out.QUEUES[i].SQ_TAIL.tail.swmod && rst_ni;
    assign queues_o[i] = '{
            enable: out.QUEUES[i].SETUP.enable.value,
            vector: out.QUEUES[i].SETUP.vector.value,
            log2_slots: out.QUEUES[i].SETUP.log2_slots.value,
            sq_extent: out.QUEUES[i].SETUP.sq_extent.value,
            cq_extent: out.QUEUES[i].SETUP.cq_extent.value,
            sq_offset: out.QUEUES[i].SQ_OFFSET.value.value,
            cq_offset: out.QUEUES[i].CQ_OFFSET.value.value,
            sq_tail: out.QUEUES[i].SQ_TAIL.tail.value,
            sq_rung: rung_q,
            cq_head: out.QUEUES[i].CQ_HEAD.head.value
        };
    assign in.QUEUES[i].SQ_HEAD.head.next = sq_head_i[i];
    assign in.QUEUES[i].CQ_TAIL.tail.next = cq_tail_i[i];
  end

  // ---- in ----
  assign in.DECODERS.codecs.next = DecodeMask;
  assign in.ENCODERS.codecs.next = EncodeMask;
  assign in.SHAPES.tokens.next = 3'b111;
  assign in.SHAPES.head_dims.next = 4'b1111;
  assign in.SHAPES.dtypes.next = 2'b11;
  assign in.SHAPES.coherent.next = 1'b0;
  assign in.RESOURCES.lanes.next = 8'(Lanes);
  assign in.RESOURCES.queues.next = 8'(Queues);
  assign in.RESOURCES.extents.next = 8'(Extents);
  assign in.RESOURCES.layouts.next = 8'(Layouts);
  assign in.TABLES.thetas.next = 8'd2;
  assign in.TABLES.widths.next = 16'(WidthSlots);
  assign in.OPERATIONS.opcodes.next = OpcodeMask;
  assign in.STATUS.idle.next = idle_i;
  assign in.STATUS.resetting.next = resetting_i;

  // The first error since the log was cleared, and how many.
  logic told_error, error;
  logic [ 7:0] status_q;
  logic [ 1:0] queue_q;
  logic [15:0] errors_q;
  logic [31:0] cookie_q;

  assign told_error = told_i && told_result_i.status != StatusOk;
  assign error = told_error || ring_error_i;
  always_ff @(posedge clk_i) begin
    if (error) begin
      if (errors_q != '1) errors_q <= errors_q + 16'd1;
      if (errors_q == '0) begin
        status_q <= told_error ? told_result_i.status : StatusRing;
        queue_q <= told_error ? told_result_i.queue_id : ring_queue_i;
        cookie_q <= told_error ? told_result_i.cookie[31:0] : '0;
      end
    end
    if (!rst_ni || out.CONTROL.clear_log.value) begin
      status_q <= '0;
      queue_q <= '0;
      errors_q <= '0;
      cookie_q <= '0;
    end
  end
  assign in.ERROR.status.next = status_q;
  assign in.ERROR.queue.next = 4'(queue_q);
  assign in.ERROR.count.next = errors_q;
  assign in.ERROR_COOKIE.cookie.next = cookie_q;

  logic [Counters-1:0] counted;
  logic [Counters-1:0][63:0] counter_q;
  assign counted = {busy_i, beat_written_i, beat_read_i, told_error, told_i, fetched_i};
  for (genvar i = 0; i < Counters; i++) begin : gen_counter
    always_ff @(posedge clk_i) begin
      if (!rst_ni) counter_q[i] <= '0;
      else counter_q[i] <= counter_q[i] + 64'(counted[i]);
    end
    assign in.COUNTERS[i].LOW.value.next = counter_q[i][31:0];
    assign in.COUNTERS[i].HIGH.value.next = counter_q[i][63:32];
  end

  logic unused_result;
  assign unused_result = ^told_result_i;
endmodule
