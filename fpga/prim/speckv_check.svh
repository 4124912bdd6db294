// SPDX-License-Identifier: Apache-2.0
// speckv_check.svh - assertions and seeded faults, one text for simulation and proof.
//
// The formal front end takes no temporal operator: "a, then b one cycle later" is written
// `SPECKV_NEXT(a, b), in a module that has `SPECKV_PAST once. In simulation a failed assertion
// prints "assertion NAME" and is counted (speckv_check_pkg); in synthesis all of this is nothing.
//
// `MUT(n, good, bad) is `good`, and `bad` where mutant n is switched on: at run time in a build
// with SPECKV_MUTANTS, by SPECKV_MUTANT=n in a proof. Elsewhere the bad text is never seen by a
// tool. Every n stands once in the sources and once in sim/mutants/list.txt.
`ifndef SPECKV_CHECK_SVH
`define SPECKV_CHECK_SVH

`ifdef SPECKV_MUTANT
`define MUT(N, Good, Bad) ((N) == `SPECKV_MUTANT ? (Bad) : (Good))
`elsif SPECKV_MUTANTS
`define MUT(N, Good, Bad) (speckv_check_pkg::mutant == (N) ? (Bad) : (Good))
`else
`define MUT(N, Good, Bad) (Good)
`endif

// Yosys defines SYNTHESIS in proofs too.
`ifdef SPECKV_FORMAL
`define SPECKV_ASSERT(Name, Expr) \
  Name : assert property (@(posedge clk_i) disable iff (!rst_ni) (Expr));
`define SPECKV_ASSUME(Name, Expr) \
  Name : assume property (@(posedge clk_i) disable iff (!rst_ni) (Expr));
`define SPECKV_COVER(Name, Expr) \
  Name : cover property (@(posedge clk_i) disable iff (!rst_ni) (Expr));
`elsif SYNTHESIS
`define SPECKV_ASSERT(Name, Expr)
`define SPECKV_ASSUME(Name, Expr)
`define SPECKV_COVER(Name, Expr)
`else
`define SPECKV_ASSERT(Name, Expr) \
  Name : assert property (@(posedge clk_i) disable iff (!rst_ni) (Expr)) \
  else speckv_check_pkg::fail(`"Name`");
`define SPECKV_ASSUME(Name, Expr) `SPECKV_ASSERT(Name, Expr)
`define SPECKV_COVER(Name, Expr)
`endif

`define SPECKV_NEXT(A, B) (!(past_valid && $past(A)) || (B))
`ifdef SPECKV_FORMAL
// A proof's only assumption beside inputs: reset in the very first cycle.
`define SPECKV_PAST \
  logic past_valid = 1'b0; \
  logic started = 1'b0; \
  always_ff @(posedge clk_i) begin \
    past_valid <= rst_ni; \
    started <= 1'b1; \
  end \
  always_comb if (!started) assume (!rst_ni);
`elsif SYNTHESIS
`define SPECKV_PAST
`else
`define SPECKV_PAST \
  logic past_valid; \
  always_ff @(posedge clk_i) past_valid <= rst_ni;
`endif

`endif  // SPECKV_CHECK_SVH
