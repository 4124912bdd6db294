// SPDX-License-Identifier: Apache-2.0
// prim_mul18 - signed 18 x 18, in one DSP block and its own registers.
//
// Latency 2 cycles, one product a cycle, never stalls. Yosys leaves the registers of ECP5's
// multiplier unused, which costs 3 ns in the critical path: so synthesis for ECP5 (SYN_ECP5) names
// the vendor's cell, and everything else sees plain code.
module prim_mul18 (
    input  logic               clk_i,
    input  logic signed [17:0] a_i,
    input  logic signed [17:0] b_i,
    output logic signed [35:0] product_o
);
`ifdef SYN_ECP5
  prim_mul18_ecp5 u_dsp (
      .clk_i,
      .a_i,
      .b_i,
      .product_o
  );
`else
  logic signed [17:0] a_q, b_q;

  always_ff @(posedge clk_i) begin
    a_q <= a_i;
    b_q <= b_i;
    product_o <= a_q * b_q;
  end
`endif
endmodule
