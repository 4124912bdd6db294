// SPDX-License-Identifier: Apache-2.0
// prim_ram - a memory with one write port and one read port, both in one clock.
//
// Latency of a read 2 cycles (the block RAM's own output register), one read and one write a cycle,
// never stalls. A read of the word that is written in the same cycle gives the old one.
module prim_ram #(
    parameter  int unsigned Width     = 32,
    parameter  int unsigned Depth     = 512,
    localparam int unsigned AddrWidth = $clog2(Depth)
) (
    input  logic                 clk_i,
    input  logic                 write_i,
    input  logic [AddrWidth-1:0] write_addr_i,
    input  logic [    Width-1:0] write_data_i,
    input  logic [AddrWidth-1:0] read_addr_i,
    output logic [    Width-1:0] read_data_o
);
  logic [Width-1:0] memory_q[Depth];
  logic [Width-1:0] read_q;

  // Block RAM starts with zeros, and a parity over zeros is right.
  initial for (int unsigned i = 0; i < Depth; i++) memory_q[i] = '0;

  always_ff @(posedge clk_i) begin
    if (write_i) memory_q[write_addr_i] <= write_data_i;
    read_q <= memory_q[read_addr_i];
    read_data_o <= read_q;
  end
endmodule
