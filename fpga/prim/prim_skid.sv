// SPDX-License-Identifier: Apache-2.0
// prim_skid - two registers that cut a valid/ready path in both directions.
//
// Latency 1 cycle, 1 word a cycle. ready_o is a register: it says that the second word is free.
`include "speckv_check.svh"

module prim_skid #(
    parameter int unsigned Width = 8
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             valid_i,
    output logic             ready_o,
    input  logic [Width-1:0] data_i,
    output logic             valid_o,
    input  logic             ready_i,
    output logic [Width-1:0] data_o
);
  logic [Width-1:0] first_q, second_q;
  logic first_valid_q, second_valid_q;

  assign ready_o = !second_valid_q;
  assign valid_o = first_valid_q;
  assign data_o = first_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      first_valid_q <= 1'b0;
      second_valid_q <= 1'b0;
    end else if (ready_i || !first_valid_q) begin
      first_valid_q <= valid_i || second_valid_q;
      second_valid_q <= 1'b0;
    end else begin
      second_valid_q <= second_valid_q || (valid_i && `MUT(3, 1'b1, 1'b0));
    end
  end

  always_ff @(posedge clk_i) begin
    if (ready_i || !first_valid_q) first_q <= second_valid_q ? second_q : data_i;
    if (ready_o) second_q <= data_i;
  end

  `SPECKV_PAST
  `SPECKV_ASSERT(SkidSecondNeedsFirst, first_valid_q || !second_valid_q)
  `SPECKV_ASSERT(SkidHoldsValid, `SPECKV_NEXT(valid_o && !ready_i, valid_o))
  `SPECKV_ASSERT(SkidHoldsData, `SPECKV_NEXT(valid_o && !ready_i, data_o == $past(data_o)))
  `SPECKV_ASSERT(SkidTakesAll, `SPECKV_NEXT(valid_i && ready_o && valid_o && !ready_i, !ready_o))

`ifdef SPECKV_FORMAL
  // Words in less words out is what is held; and any one word, chosen by the solver, comes out.
  (* anyseq *) logic watch;
  logic watched_q, behind_q;
  logic [Width-1:0] word_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) watched_q <= 1'b0;
    else if (!watched_q) begin
      watched_q <= valid_i && ready_o && watch;
      behind_q <= first_valid_q && !ready_i;
      word_q <= data_i;
    end else if (ready_i) begin
      if (!behind_q) watched_q <= 1'b0;
      behind_q <= 1'b0;
    end
  end
  `SPECKV_ASSERT(
      SkidWordIsKept,
      !watched_q ||
          (behind_q ? second_valid_q && second_q == word_q : first_valid_q && first_q == word_q))
  `SPECKV_COVER(SkidFull, !ready_o && ready_i)
`endif
endmodule
