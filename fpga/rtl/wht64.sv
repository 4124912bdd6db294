// SPDX-License-Identifier: Apache-2.0
// wht64 - the Walsh-Hadamard transform of 64 values, in natural order, not scaled; 32 values a
// beat.
//
// Shared by rowq's decoder and encoder. A block is two beats in two neighbouring cycles, second_i
// high at the second. Its first result leaves 6 cycles after its second beat, the other one cycle
// later: 7 cycles from any beat to the same beat's results. One beat a cycle, never stalls.
//
// Stage 0 (values 32 apart, in different beats) is single-path delay feedback: the first beat
// waits in hold_q; when the second comes, sums leave and differences wait there. The five other
// stages lie within a beat.
`include "speckv_check.svh"

module wht64 #(
    parameter int unsigned Width = 17
) (
    input  logic                            clk_i,
    input  logic                            rst_ni,
    input  logic                            valid_i,
    input  logic                            second_i,
    input  logic signed [31:0][  Width-1:0] values_i,
    output logic                            valid_o,
    output logic signed [31:0][Width+6-1:0] values_o
);
  localparam int unsigned Out = Width + 6;

  logic [31:0][Width:0] hold_q, sum_q;
  logic sum_valid_q, held_q, pairs;

  assign pairs = valid_i && second_i;
  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < 32; i++) begin
      logic signed [Width:0] now, held;
      now = {values_i[i][Width-1], values_i[i]};
      held = hold_q[i];
      sum_q[i] <= pairs ? `MUT(20, held + now, held - now) : held;
      if (valid_i) hold_q[i] <= pairs ? held - now : now;
    end
  end
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      sum_valid_q <= 1'b0;
      held_q <= 1'b0;
    end else begin
      sum_valid_q <= pairs || held_q;
      held_q <= pairs;
    end
  end

  // Stage g + 1 pairs values that lie 16 >> g apart; each stage is one bit wider than the last.
  logic [5:0][31:0][Out-1:0] stage;
  logic [5:0] stage_valid;

  always_comb begin
    for (int unsigned i = 0; i < 32; i++) begin
      stage[0][i] = {{5{sum_q[i][Width]}}, sum_q[i]};
    end
  end
  assign stage_valid[0] = sum_valid_q;

  for (genvar g = 0; g < 5; g++) begin : gen_stage
    localparam int unsigned Apart = 16 >> g;
    localparam int unsigned In = Width + 1 + g;
    always_ff @(posedge clk_i) begin
      stage_valid[g+1] <= stage_valid[g] && rst_ni;
      for (int unsigned i = 0; i < 32; i++) begin
        logic signed [In:0] low, high, result;
        low = (In + 1)'($signed(stage[g][i&~Apart][In-1:0]));
        high = (In + 1)'($signed(stage[g][i|Apart][In-1:0]));
        result = (i & Apart) != 0 ? low - high : low + high;
        stage[g+1][i] <= Out'($signed(result));
      end
    end
  end

  assign values_o = stage[5];
  assign valid_o = stage_valid[5];

  `SPECKV_PAST
  // A block's beats are neighbours: a first one is followed by its second.
  `SPECKV_ASSERT(WhtBlockIsWhole, `SPECKV_NEXT(valid_i && !second_i, valid_i && second_i))
endmodule
