// SPDX-License-Identifier: Apache-2.0
// bus_read - the read channels of one bus, shared by Ports masters.
//
// Requests go round robin, one a cycle, through a register of their own: what stands on the bus
// stays until it is taken, whatever its master does. A master's number is its id, and answers find
// it by that, in whatever order the bus answers different ids. Answers are always taken.
`include "speckv_check.svh"

module bus_read
  import engine_pkg::*;
#(
    parameter int unsigned Ports  = 2,
    parameter int unsigned IdBits = 4
) (
    input  logic                   clk_i,
    input  logic                   rst_ni,
    input  logic      [ Ports-1:0] addr_valid_i,
    output logic      [ Ports-1:0] addr_ready_o,
    input  axi_addr_t [ Ports-1:0] addr_i,
    output logic      [ Ports-1:0] read_valid_o,
    output axi_read_t              read_o,
    // Bus.
    output logic                   arvalid_o,
    input  logic                   arready_i,
    output logic      [IdBits-1:0] arid_o,
    output axi_addr_t              ar_o,
    input  logic                   rvalid_i,
    input  logic      [IdBits-1:0] rid_i,
    input  axi_read_t              r_i
);
  logic [Ports-1:0] grant;
  logic room;
  axi_addr_t chosen;
  logic [IdBits-1:0] chosen_id;

  prim_arbiter #(
      .Ports(Ports)
  ) u_arbiter (
      .clk_i,
      .rst_ni,
      .request_i(addr_valid_i),
      .take_i(room),
      .grant_o(grant)
  );
  assign addr_ready_o = room ? `MUT(161, grant, addr_valid_i) : '0;
  always_comb begin
    chosen = '0;
    chosen_id = '0;
    for (int unsigned i = 0; i < Ports; i++) begin
      if (grant[i]) begin
        chosen = addr_i[i];
        chosen_id = IdBits'(i);
      end
    end
  end
  prim_skid #(
      .Width($bits(axi_addr_t) + IdBits)
  ) u_out (
      .clk_i,
      .rst_ni,
      .valid_i(addr_valid_i != '0),
      .ready_o(room),
      .data_i({chosen_id, chosen}),
      .valid_o(arvalid_o),
      .ready_i(arready_i),
      .data_o({arid_o, ar_o})
  );

  always_comb begin
    for (int unsigned i = 0; i < Ports; i++) read_valid_o[i] = rvalid_i && rid_i == IdBits'(i);
  end
  assign read_o = r_i;

  `SPECKV_PAST
  `SPECKV_ASSERT(BusReadOneTaken, (addr_ready_o & (addr_ready_o - 1'b1)) == '0)
  `SPECKV_ASSERT(BusReadHeld, `SPECKV_NEXT(arvalid_o && !arready_i, arvalid_o))
  `SPECKV_ASSERT(BusReadSame, `SPECKV_NEXT(arvalid_o && !arready_i, {arid_o, ar_o} == $past
                                           ({arid_o, ar_o})))
  `SPECKV_COVER(BusReadWaits, arvalid_o && !arready_i && addr_valid_i == '1)
endmodule
