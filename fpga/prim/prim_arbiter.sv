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
endmodule
