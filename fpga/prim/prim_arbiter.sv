// SPDX-License-Identifier: Apache-2.0
// prim_arbiter - round robin among Ports requests.
//
// No latency: the grant is one-hot, combinational from request_i and from whom it went to last.
// The port after the last winner comes first, so a request waits for Ports - 1 others at most. The
// turn moves on when take_i is high: who grants for several cycles holds it low.
`include "speckv_check.svh"

module prim_arbiter #(
    parameter int unsigned Ports = 4
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic [Ports-1:0] request_i,
    input  logic             take_i,
    output logic [Ports-1:0] grant_o
);
  // Ports above the last winner: they come first.
  logic [Ports-1:0] above_q;
  logic [Ports-1:0] urgent, chosen;

  assign urgent = request_i & above_q;
  assign chosen = urgent != '0 ? urgent : request_i;
  assign grant_o = chosen & (~chosen + 1'b1);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) above_q <= '1;
    else if (take_i && request_i != '0) above_q <= `MUT(4, ~(grant_o | (grant_o - 1'b1)), '1);
  end

  `SPECKV_ASSERT(ArbiterOneGrant, (grant_o & (grant_o - 1'b1)) == '0)
  `SPECKV_ASSERT(ArbiterGrantsRequests, (grant_o & ~request_i) == '0)
  `SPECKV_ASSERT(ArbiterAlwaysGrants, (request_i == '0) == (grant_o == '0))

`ifdef SPECKV_FORMAL
  `SPECKV_PAST
  // Any one port, chosen by the solver: while it asks, each other port wins once at most.
  logic [$clog2(Ports)-1:0] port;
  always_ff @(posedge clk_i) port <= port;
  logic [Ports-1:0] won_q;
  logic waits;
  logic [Ports-1:0] below, late;
  assign below = (Ports'(1) << port) - 1'b1;
  // Who comes before that port, as turns stand.
  assign late = above_q[port] ? below & above_q : below | above_q;
  assign waits = request_i[port] && !grant_o[port];
  always_ff @(posedge clk_i) begin
    if (!rst_ni || !waits) won_q <= '0;
    else if (take_i) won_q <= won_q | grant_o;
  end
  // After a turn the winner and those below it come last.
  `SPECKV_ASSERT(ArbiterFair, !(waits && take_i) || (won_q & grant_o) == '0)
  // Who has won comes after the port that waits, in the order of turns.
  `SPECKV_ASSERT(ArbiterTurnsInOrder, (won_q & late) == '0)
  `SPECKV_ASSERT(ArbiterTurnIsThermometer, (~above_q & (~above_q + 1'b1)) == '0)
  `SPECKV_ASSUME(ArbiterPortExists, port < Ports)
  `SPECKV_COVER(ArbiterWaitsForAllOthers, grant_o[port] && $countones(won_q) == Ports - 1)
`endif
endmodule
