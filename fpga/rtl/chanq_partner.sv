// SPDX-License-Identifier: Apache-2.0
// chanq_partner - beside each channel of a beat the one that it turns with.
//
// A beat has 32 neighbouring channels. Partners are neighbours, or lie up to 4 beats away in the
// same token, before or behind: so values wait 5 cycles in a memory of 16 beats, written round and
// round, and are read twice. Requires: the beats of a token come in consecutive cycles.
// Latency 7 cycles (6 to wait, 1 to swap lanes), a beat a cycle, never stalls; tag_o, 4 cycles
// after tag_i, is for chanq_turns, whose turns then come with the values.
`include "speckv_check.svh"

module chanq_partner
  import chanq_pkg::*;
#(
    parameter int unsigned Width = 24
) (
    input  logic                        clk_i,
    input  logic                        rst_ni,
    input  tag_t                        tag_i,
    input  logic [Lanes-1:0][Width-1:0] values_i,
    output tag_t                        tag_o,
    output logic [Lanes-1:0][Width-1:0] own_o,
    output logic [Lanes-1:0][Width-1:0] partner_o,
    output logic [Lanes-1:0]            second_o    // of its pair
);
  localparam int unsigned Wait = 5;

  tag_t tag_waits, tag_swaps;

  prim_delay #(
      .Width($bits(tag_t)),
      .Cycles(Wait - 1)
  ) u_tag (
      .clk_i,
      .data_i(tag_i),
      .data_o(tag_o)
  );
  always_ff @(posedge clk_i) begin
    tag_waits <= tag_o;
    tag_swaps <= tag_waits;
  end

  // ---- 1 .. 6: waiting; own value, and that of the partner's bank ----
  logic [3:0] tick_q, own_addr, partner_addr, hop;
  logic [Lanes-1:0][Width-1:0] own_1, partner_1;
  logic behind;  // the partner lies in a later beat

  assign own_addr = tick_q - 4'(Wait);
  assign hop = tag_waits.rope.half_split ? {1'b0, tag_waits.rope.rotated[8:6]} : 4'd0;
  assign behind = {1'b0, tag_waits.beat} < hop;
  assign partner_addr = behind ? own_addr + hop : own_addr - hop;
  always_ff @(posedge clk_i) begin
    tick_q <= tick_q + 4'd1;
    if (!rst_ni) tick_q <= '0;
  end
  for (genvar b = 0; b < Lanes; b++) begin : gen_wait
    logic [Width-1:0] values_q[16];
    always_ff @(posedge clk_i) begin
      values_q[tick_q] <= values_i[b];
      own_1[b] <= values_q[own_addr];
      partner_1[b] <= values_q[partner_addr];
    end
  end

  // ---- 7: partners to their lanes; who is second of its pair ----
  logic [4:0] swap;
  logic [2:0] hop_swaps;

  assign hop_swaps = tag_swaps.rope.rotated[8:6];
  always_comb begin
    if (!tag_swaps.rope.half_split) swap = 5'd1;
    else if (hop_swaps != '0) swap = 5'd0;
    else swap = tag_swaps.rope.rotated[5] ? 5'd16 : `MUT(86, 5'd8, 5'd16);
  end
  always_ff @(posedge clk_i) begin
    own_o <= own_1;
    for (int unsigned i = 0; i < Lanes; i++) begin
      partner_o[i] <= partner_1[5'(i)^swap];
      second_o[i] <= swap == '0 ?
      `MUT(92, tag_swaps.beat >= hop_swaps, tag_swaps.beat > hop_swaps)
      : (5'(i) & swap) != '0;
    end
  end

  logic unused_tag;
  assign unused_tag = ^tag_swaps;
endmodule
