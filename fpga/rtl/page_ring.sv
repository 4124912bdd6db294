// SPDX-License-Identifier: Apache-2.0
// page_ring - the memory of a lane in which stored pages wait: RingUnits units of 32 bytes.
//
// Pages lie in it as they lie in a segment, one after the other and at any unit, so neither packing
// nor parting pages takes any work: a decoder lane writes beats in order and reads planes from
// anywhere, an encoder lane the other way round. An access is two units, addr and addr + 1 (modulo
// the ring), in two banks. Reads take RingLatency (3) cycles; one read and one write a cycle, never
// stalls. A write is seen by a read that comes one cycle later.
//
// Each 32 bits have a parity bit. error_o: a word that was read had the wrong one. flip_i turns one
// bit of the next write, for a test.
`include "speckv_check.svh"

module page_ring
  import speckv_pkg::*;
(
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             write_i,
    input  logic       [1:0] write_mask_i,  // units of it
    input  ring_addr_t       write_addr_i,
    input  beat_t            write_data_i,
    input  logic             read_i,
    input  logic             read_half_i,   // only the first unit counts, for the parity
    input  ring_addr_t       read_addr_i,
    output beat_t            read_data_o,
    input  logic             flip_i,
    output logic             error_o
);
  localparam int unsigned Words = UnitBits / 32;
  localparam int unsigned RowBits = RingAddrBits - 1;
  typedef logic [UnitBits+Words-1:0] word_t;

  function automatic logic [Words-1:0] parity(input logic [UnitBits-1:0] unit);
    for (int unsigned i = 0; i < Words; i++) parity[i] = ^unit[32*i+:32];
  endfunction

  // Addresses and data in registers. Bank b has the units whose lowest bit is b.
  logic [1:0] write_q;
  logic [1:0][RowBits-1:0] write_row_q, read_row_q;
  logic [1:0][UnitBits-1:0] write_unit_q;
  logic flip_q;
  logic [RingLatency-1:0] odd_q, half_q, read_q;

  always_ff @(posedge clk_i) begin
    write_q <= '0;
    if (write_i && rst_ni) begin
      write_q[0] <= write_mask_i[write_addr_i[0]];
      write_q[1] <= write_mask_i[!write_addr_i[0]];
    end
    write_row_q[0] <= write_addr_i[RingAddrBits-1:1] + RowBits'(write_addr_i[0]);
    write_row_q[1] <= write_addr_i[RingAddrBits-1:1];
    write_unit_q[0] <= write_data_i[(write_addr_i[0]?UnitBits : 0)+:UnitBits];
    write_unit_q[1] <= write_data_i[(write_addr_i[0]?0 : UnitBits)+:UnitBits];
    read_row_q[0] <= read_addr_i[RingAddrBits-1:1] + RowBits'(`MUT(32, read_addr_i[0], 1'b0));
    read_row_q[1] <= read_addr_i[RingAddrBits-1:1];
    odd_q <= {odd_q[RingLatency-2:0], read_addr_i[0]};
    half_q <= {half_q[RingLatency-2:0], read_half_i};
    read_q <= rst_ni ? {read_q[RingLatency-2:0], read_i} : '0;
    if (!rst_ni) flip_q <= 1'b0;
    else if (flip_i) flip_q <= 1'b1;
    else if (write_q != '0) flip_q <= 1'b0;
  end

  word_t [1:0] bank;
  for (genvar b = 0; b < 2; b++) begin : gen_bank
    word_t data;
    assign data = {parity(write_unit_q[b]), write_unit_q[b]} ^ word_t'(flip_q);
    prim_ram #(
        .Width(UnitBits + Words),
        .Depth(RingUnits / 2)
    ) u_ram (
        .clk_i,
        .write_i(write_q[b]),
        .write_addr_i(write_row_q[b]),
        .write_data_i(data),
        .read_addr_i(read_row_q[b]),
        .read_data_o(bank[b])
    );
  end

  assign read_data_o = odd_q[RingLatency-1] ? {bank[0][UnitBits-1:0], bank[1][UnitBits-1:0]} :
      {bank[1][UnitBits-1:0], bank[0][UnitBits-1:0]};
  logic [1:0] wrong;
  logic odd, half;
  assign odd = odd_q[RingLatency-1];
  assign half = `MUT(35, half_q[RingLatency-1], 1'b0);
  for (genvar b = 0; b < 2; b++) begin : gen_parity
    assign wrong[b] = parity(bank[b][UnitBits-1:0]) != bank[b][UnitBits+:Words];
  end
  always_ff @(posedge clk_i)
    error_o <= rst_ni && read_q[RingLatency-1] && (wrong[odd] || (wrong[!odd] && !half));
endmodule
