// SPDX-License-Identifier: Apache-2.0
// extent_check - the one way to a bus address: an extent's number and an offset become an address,
// or nothing does.
//
// Asked by everything that moves bytes: descriptors and both their sides, rings. Latency 2 cycles,
// a request a cycle, never stalls. ok_o says that the extent is in use, that this queue may name
// it, that it is writable where that is asked, and that every byte lies in it; only then addr_o
// counts.
`include "speckv_check.svh"

module extent_check
  import engine_pkg::*;
(
    input  logic                     clk_i,
    input  logic                     rst_ni,
    input  extent_t    [Extents-1:0] extents_i,
    input  logic                     valid_i,
    input  logic       [        7:0] extent_i,
    input  logic       [       63:0] offset_i,   // bytes
    input  logic       [       31:0] beats_i,
    input  logic                     write_i,
    input  logic       [        1:0] queue_i,
    output logic                     valid_o,
    output logic                     ok_o,
    output logic                     device_o,
    output beat_addr_t               addr_o
);
  localparam int unsigned IndexBits = $clog2(Extents);

  // 1: the extent.
  extent_t extent_1;
  logic valid_1, known_1, aligned_1, write_1;
  logic [31:0] first_1, beats_1;
  logic [1:0] queue_1;

  always_ff @(posedge clk_i) begin
    valid_1 <= valid_i && rst_ni;
    extent_1 <= extents_i[extent_i[IndexBits-1:0]];
    known_1 <= extent_i < 8'(Extents);
    aligned_1 <= offset_i[5:0] == '0 && offset_i[63:38] == '0;
    first_1 <= offset_i[37:6];
    beats_1 <= beats_i;
    write_1 <= write_i;
    queue_1 <= queue_i;
  end

  // 2: the verdict. 34 bits: the sum of two numbers of 32.
  logic fits, allowed;
  logic [33:0] end_1;

  assign end_1 = 34'(first_1) + 34'(beats_1);
  assign fits = end_1 <= 34'(extent_1.beats) + `MUT(40, 34'd0, 34'd1) && beats_1 != '0;
  assign allowed = extent_1.valid &&
      `MUT(41, extent_1.queues[queue_1], 1'b1)
      && (extent_1.writable || !
      `MUT(42, write_1, 1'b0)
      );

  always_ff @(posedge clk_i) begin
    valid_o <= valid_1 && rst_ni;
    ok_o <= known_1 && aligned_1 && fits && allowed;
    device_o <= extent_1.device;
    addr_o <= extent_1.base + BeatAddrBits'(first_1);
  end

`ifdef SPECKV_FORMAL
  // What was asked two cycles ago, whatever the table held one cycle ago.
  extent_t extent_2;
  logic [31:0] beats_2;
  logic write_2;
  logic [1:0] queue_2;
  always_ff @(posedge clk_i) begin
    extent_2 <= extent_1;
    beats_2 <= beats_1;
    write_2 <= write_1;
    queue_2 <= queue_1;
  end
  logic [BeatAddrBits:0] offset_2;
  assign offset_2 = {1'b0, addr_o - extent_2.base};
  `SPECKV_PAST
  logic granted, in_extent, permitted;
  assign granted = past_valid && valid_o && ok_o;
  assign in_extent = offset_2 + 59'(beats_2) <= 59'(extent_2.beats);
  assign permitted = extent_2.valid && extent_2.queues[queue_2] && (extent_2.writable || !write_2);
  `SPECKV_ASSERT(ExtentNoByteOutside, !granted || in_extent)
  `SPECKV_ASSERT(ExtentOnlyIfAllowed, !granted || permitted)
  `SPECKV_COVER(ExtentWholeIsGranted, valid_o && ok_o && beats_2 == extent_2.beats && write_2)
`endif
endmodule
