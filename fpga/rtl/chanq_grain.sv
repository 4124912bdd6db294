// SPDX-License-Identifier: Apache-2.0
// chanq_grain - how coarse a page's drops are: the finest of three grains at which few channels'
// reach is lifted, and none by more than an octave.
//
// Reaches come two channels a cycle; sets of pages take turns. start_i asks for a set that is
// whole: 32 channels a cycle are held against the least reach of grains 0 and 1 at once, 2 is the
// rest. done_o (a pulse) with the grain, head_dim / 32 + 5 cycles later; one at a time.
`include "speckv_check.svh"

module chanq_grain
  import chanq_pkg::*;
(
    input  logic       clk_i,
    input  logic       rst_ni,
    input  logic       write_i,
    input  logic [1:0] write_set_i,
    input  logic [6:0] write_pair_i,  // of neighbours
    input  fit_t [1:0] write_fits_i,
    input  logic       start_i,
    input  logic [1:0] set_i,         // these stand until done_o
    input  logic [1:0] blocks_i,
    input  logic [6:0] top_i,         // the largest reach
    output logic       done_o,
    output logic [1:0] grain_o
);
  typedef struct packed {
    logic       counts;
    logic [6:0] wanted;
  } reach_t;

  // 0: a row; 1: its reaches; 2: lifts of both grains; 3: counted by eights; 4: summed up.
  logic busy_q, valid_1, valid_2, valid_3, last_1, last_2, last_3, done_q;
  logic [2:0] row_q;
  logic last;
  reach_t [Lanes-1:0] reach_1;
  logic [1:0][Lanes-1:0] lifted_2;
  logic [1:0] far_2, far_3, far_q;
  logic [1:0][3:0][3:0] eights_3;
  logic [1:0][8:0] count_q;

  for (genvar i = 0; i < Lanes; i++) begin : gen_lane
    reach_t reaches_q[32];
    reach_t reach;
    assign reach = '{
            counts:
            `MUT(147, write_fits_i[i%2].width != '0, 1'b1)
            &&
            write_fits_i[i%2].wanted
            != '0,
            wanted: write_fits_i[i%2].wanted
        };
    always_ff @(posedge clk_i) begin
      if (write_i && write_pair_i[3:0] == 4'(i / 2))
        reaches_q[{write_set_i, write_pair_i[6:4]}] <= reach;
      reach_1[i] <= reaches_q[{set_i, row_q}];
    end
  end

  assign last = row_q == {blocks_i, 1'b1};
  always_ff @(posedge clk_i) begin
    if (start_i) busy_q <= 1'b1;
    else if (last) busy_q <= 1'b0;
    row_q <= busy_q && !last ? row_q + 3'd1 : '0;
    valid_1 <= busy_q;
    last_1 <= busy_q && last;
    valid_2 <= valid_1;
    last_2 <= last_1;
    valid_3 <= valid_2;
    last_3 <= last_2;
    for (int unsigned g = 0; g < 2; g++) begin
      logic signed [8:0] least;
      logic [Lanes-1:0] far;
      least = $signed({2'd0, top_i}) - (g == 0 ? 9'sd31 : 9'sd62);
      for (int unsigned i = 0; i < Lanes; i++) begin
        logic signed [8:0] wanted;
        wanted = $signed({2'd0, reach_1[i].wanted});
        lifted_2[g][i] <= reach_1[i].counts && wanted < least;
        far[i] = reach_1[i].counts && wanted < least - `MUT(146, 9'sd8, 9'sd9);
      end
      far_2[g] <= far != '0;
      for (int unsigned i = 0; i < 4; i++) eights_3[g][i] <= 4'($countones(lifted_2[g][8*i+:8]));
      if (valid_3) begin
        count_q[g] <= count_q[g] + 9'(eights_3[g][0]) + 9'(eights_3[g][1]) + 9'(eights_3[g][2]) +
            9'(eights_3[g][3]);
        if (far_3[g]) far_q[g] <= 1'b1;
      end
      if (start_i) count_q[g] <= '0;
    end
    far_3 <= far_2;
    if (start_i) far_q <= '0;
    done_q <= last_3;
    if (!rst_ni) begin
      busy_q <= 1'b0;
      valid_1 <= 1'b0;
      valid_2 <= 1'b0;
      valid_3 <= 1'b0;
      last_1 <= 1'b0;
      last_2 <= 1'b0;
      last_3 <= 1'b0;
      done_q <= 1'b0;
    end
  end

  logic [1:0] too_many;
  for (genvar g = 0; g < 2; g++) begin : gen_grain
    assign too_many[g] = far_q[g] || count_q[g] > (9'({1'b0, blocks_i} + 3'd1) << 2) + `MUT(
            145, 9'd0, 9'd1);
  end
  assign done_o = done_q;
  assign grain_o = !too_many[0] ? 2'd0 : !too_many[1] ? 2'd1 : 2'd2;
endmodule
