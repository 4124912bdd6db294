// SPDX-License-Identifier: Apache-2.0
// bus_write - the write channels of one bus, shared by Ports masters.
//
// Requests go round robin through a register of their own, and order_q remembers whose beats the
// bus expects next: beats follow in the order of the requests. A master's number is its id, and
// answers find it by that. Beats pass through a register as well; one a cycle.
`include "speckv_check.svh"

module bus_write
  import engine_pkg::*;
#(
    parameter int unsigned Ports  = 2,
    parameter int unsigned IdBits = 4
) (
    input  logic                    clk_i,
    input  logic                    rst_ni,
    input  logic       [ Ports-1:0] addr_valid_i,
    output logic       [ Ports-1:0] addr_ready_o,
    input  axi_addr_t  [ Ports-1:0] addr_i,
    input  logic       [ Ports-1:0] write_valid_i,
    output logic       [ Ports-1:0] write_ready_o,
    input  axi_write_t [ Ports-1:0] write_i,
    output logic       [ Ports-1:0] answer_valid_o,
    output logic                    answer_error_o,
    // Bus.
    output logic                    awvalid_o,
    input  logic                    awready_i,
    output logic       [IdBits-1:0] awid_o,
    output axi_addr_t               aw_o,
    output logic                    wvalid_o,
    input  logic                    wready_i,
    output axi_write_t              w_o,
    input  logic                    bvalid_i,
    input  logic       [IdBits-1:0] bid_i,
    input  logic                    berror_i
);
  logic [Ports-1:0] grant;
  logic room, addr_room, order_room, turn_valid, beat_valid, beat_room;
  axi_addr_t  chosen;
  axi_write_t beat;
  logic [IdBits-1:0] chosen_id, turn;

  prim_arbiter #(
      .Ports(Ports)
  ) u_arbiter (
      .clk_i,
      .rst_ni,
      .request_i(addr_valid_i),
      .take_i(room),
      .grant_o(grant)
  );
  assign room = addr_room && order_room;
  assign addr_ready_o = room ? grant : '0;
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
  ) u_addr_out (
      .clk_i,
      .rst_ni,
      .valid_i(addr_valid_i != '0 && order_room),
      .ready_o(addr_room),
      .data_i({chosen_id, chosen}),
      .valid_o(awvalid_o),
      .ready_i(awready_i),
      .data_o({awid_o, aw_o})
  );
  prim_fifo #(
      .Width(IdBits),
      .Depth(8)
  ) u_order (
      .clk_i,
      .rst_ni,
      .valid_i(addr_valid_i != '0 && addr_room),
      .ready_o(order_room),
      .data_i(chosen_id),
      .valid_o(turn_valid),
      .ready_i(beat_valid && beat_room && `MUT(160, beat.last, 1'b1)),
      .data_o(turn),
      .count_o()
  );

  always_comb begin
    beat = write_i[0];
    beat_valid = 1'b0;
    write_ready_o = '0;
    for (int unsigned i = 0; i < Ports; i++) begin
      if (turn_valid && turn == IdBits'(i)) begin
        beat = write_i[i];
        beat_valid = write_valid_i[i];
        write_ready_o[i] = beat_room;
      end
    end
  end
  prim_skid #(
      .Width($bits(axi_write_t))
  ) u_beat_out (
      .clk_i,
      .rst_ni,
      .valid_i(beat_valid),
      .ready_o(beat_room),
      .data_i(beat),
      .valid_o(wvalid_o),
      .ready_i(wready_i),
      .data_o(w_o)
  );

  always_comb begin
    for (int unsigned i = 0; i < Ports; i++) answer_valid_o[i] = bvalid_i && bid_i == IdBits'(i);
  end
  assign answer_error_o = berror_i;

  `SPECKV_PAST
  `SPECKV_ASSERT(BusWriteOneTaken, (addr_ready_o & (addr_ready_o - 1'b1)) == '0)
  `SPECKV_ASSERT(BusWriteAddrHeld, `SPECKV_NEXT(awvalid_o && !awready_i, awvalid_o))
  `SPECKV_ASSERT(BusWriteAddrSame, `SPECKV_NEXT(awvalid_o && !awready_i, {awid_o, aw_o} == $past
                                                ({awid_o, aw_o})))
  `SPECKV_ASSERT(BusWriteBeatHeld, `SPECKV_NEXT(wvalid_o && !wready_i, wvalid_o))
  `SPECKV_ASSERT(BusWriteBeatSame, `SPECKV_NEXT(wvalid_o && !wready_i, w_o == $past(w_o)))
  // A burst that has begun goes on, whoever else asks.
  logic beat_taken;
  assign beat_taken = beat_valid && beat_room;
  `SPECKV_ASSERT(BusWriteBurstWhole, `SPECKV_NEXT(beat_taken && !beat.last,
                                                  turn_valid && turn == $past(turn)))
  `SPECKV_COVER(BusWriteWaits, awvalid_o && !awready_i && wvalid_o && !wready_i && turn_valid)
endmodule
