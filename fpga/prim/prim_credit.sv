// SPDX-License-Identifier: Apache-2.0
// prim_credit - counts what may still go into a pipeline that cannot stall.
//
// A datapath of fixed latency ends in a FIFO of Credits words. Who sends a beat into it takes a
// credit; who takes a word out of the FIFO gives it back. So the FIFO never overflows and no ready
// path crosses the datapath. No latency; one take and one give a cycle.
`include "speckv_check.svh"

module prim_credit #(
    parameter  int unsigned Credits    = 32,
    localparam int unsigned CountWidth = $clog2(Credits + 1)
) (
    input  logic                  clk_i,
    input  logic                  rst_ni,
    input  logic                  take_i,
    input  logic                  give_i,
    output logic                  available_o,
    output logic [CountWidth-1:0] used_o
);
  logic [CountWidth-1:0] used_q;

  assign available_o = used_q != CountWidth'(Credits);
  assign used_o = used_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) used_q <= '0;
    else used_q <= used_q + CountWidth'(take_i) - CountWidth'(give_i && `MUT(5, 1'b1, !take_i));
  end

  `SPECKV_ASSERT(CreditInRange, used_q <= CountWidth'(Credits))
  `SPECKV_ASSUME(CreditTakenWhenThere, !take_i || available_o)
  `SPECKV_ASSUME(CreditGivenWhenUsed, !give_i || used_q != '0)

`ifdef SPECKV_FORMAL
  `SPECKV_PAST
  // What was taken and not given back, counted another way: a bit a credit.
  logic [Credits-1:0] out_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) out_q <= '0;
    else if (take_i && !give_i) out_q <= {out_q[Credits-2:0], 1'b1};
    else if (give_i && !take_i) out_q <= out_q >> 1;
  end
  `SPECKV_ASSERT(CreditNoneLost, out_q == ~({Credits{1'b1}} << used_q))
  `SPECKV_COVER(CreditAllTaken, !available_o)
`endif
endmodule
