// SPDX-License-Identifier: Apache-2.0
// xpack_pack - 32 raw values to three-bit codes and to what they add to xpack's two lists: the
// encoder's datapath.
//
// xpack_path the other way round: those that do not fit into three bits are counted (a prefix sum
// of those that do, two cycles), and their nibbles and far exponents close up over the others in
// five steps of 1, 2, 4, 8 and 16 places (three cycles). Latency 7 cycles, a beat a cycle, never
// stalls.
`include "speckv_check.svh"

module xpack_pack
  import xpack_pkg::*;
(
    input  logic                      clk_i,
    input  logic                      rst_ni,
    input  logic                      valid_i,
    input  tag_t                      tag_i,
    input  logic    [      7:0]       top_i,
    input  logic    [Lanes-1:0][ 3:0] offsets_i,
    input  logic    [Lanes-1:0][ 7:0] bases_i,
    input  logic    [Lanes-1:0][15:0] values_i,
    output logic                      valid_o,
    output packed_t                   row_o
);
  localparam int unsigned Latency = 7;

  // A lane on its way: steps from the lowest on, so no two ever meet.
  typedef struct packed {
    logic       gives;
    logic [4:0] moves;
    logic [7:0] what;
  } lane_t;
  typedef lane_t [Lanes-1:0] lanes_t;
  function automatic lanes_t close_up(input lanes_t lanes, input logic [2:0] step);
    close_up = '0;
    for (int unsigned i = 0; i < Lanes; i++) begin
      if (lanes[i].gives && !lanes[i].moves[step]) close_up[i] |= lanes[i];
      if (lanes[i].gives && lanes[i].moves[step]) close_up[5'(i)-(5'd1<<step)] |= lanes[i];
    end
  endfunction

  logic [Latency:1] valid_q;
  always_ff @(posedge clk_i) valid_q <= rst_ni ? {valid_q[Latency-1:1], valid_i} : '0;

  // 1: how far below its channel's base each exponent lies.
  logic [Lanes-1:0][7:0] below_1, field_1;
  row_t row_1;

  always_ff @(posedge clk_i) begin
    row_1.tag <= tag_i;
    row_1.codes <= '0;
    for (int unsigned i = 0; i < Lanes; i++) begin
      logic [7:0] field;
      field = xpack_field(values_i[i], tag_i.bf16);
      field_1[i] <= field;
      below_1[i] <= bases_i[i] - field;
      row_1.lows[i] <= {values_i[i][6:0], values_i[i][15]};
      row_1.middles[i] <= tag_i.bf16 ? 3'd0 : values_i[i][9:7];
    end
  end

  // 2: codes, nibbles, and who gives what.
  logic [Lanes-1:0] near_2, far_2;
  logic [Lanes-1:0][3:0] nibble_2;
  logic [Lanes-1:0][7:0] field_2;
  row_t row_2;

  always_ff @(posedge clk_i) begin
    row_2 <= row_1;
    field_2 <= field_1;
    for (int unsigned i = 0; i < Lanes; i++) begin
      row_2.codes[i] <= below_1[i] < 8'(Escape) ? below_1[i][2:0] : Escape;
      near_2[i] <= below_1[i] >= `MUT(130, 8'(Escape), 8'(Escape) + 8'd1);
      far_2[i] <= below_1[i] > `MUT(131, 8'd20, 8'd21) && field_1[i] != '0;
      if (below_1[i] <= 8'd20) nibble_2[i] <= 4'(below_1[i] - 8'(Escape));
      else nibble_2[i] <= field_1[i] == '0 ? ZeroNibble : FarNibble;
    end
  end

  // 3, 4: by how many places each lane closes up: the lanes before it that give nothing.
  partial_t near_skips_3, far_skips_3;
  ranks_t near_skips_4, far_skips_4;
  logic [Lanes-1:0] near_3, far_3, near_4, far_4;
  logic [Lanes-1:0][3:0] nibble_3, nibble_4;
  logic [Lanes-1:0][7:0] field_3, field_4;

  always_ff @(posedge clk_i) begin
    near_skips_3 <= partial_of(~near_2);
    far_skips_3 <= partial_of(~far_2);
    near_skips_4 <= ranks_of(near_skips_3);
    far_skips_4 <= ranks_of(far_skips_3);
    near_3 <= near_2;
    near_4 <= near_3;
    far_3 <= far_2;
    far_4 <= far_3;
    nibble_3 <= nibble_2;
    nibble_4 <= nibble_3;
    field_3 <= field_2;
    field_4 <= field_3;
  end

  // 5: steps of 1 and 2; 6: of 4 and 8; 7: of 16.
  lanes_t near_lanes, near_5, near_6, near_out, far_lanes, far_5, far_6, far_out;

  always_comb begin
    for (int unsigned i = 0; i < Lanes; i++) begin
      near_lanes[i] = '{
          gives: near_4[i],
          moves: near_skips_4.ranks[i],
          what: {4'd0, nibble_4[i]}
      };
      far_lanes[i] = '{gives: far_4[i], moves: far_skips_4.ranks[i], what: field_4[i]};
    end
  end
  always_ff @(posedge clk_i) begin
    near_5 <= close_up(close_up(near_lanes, 3'd0), 3'd1);
    far_5 <= close_up(close_up(far_lanes, 3'd0), 3'd1);
    near_6 <= close_up(close_up(near_5, 3'd2), 3'd3);
    far_6 <= close_up(close_up(far_5, 3'd2), 3'd3);
  end
  assign near_out = close_up(near_6, `MUT(132, 3'd4, 3'd3));
  assign far_out = close_up(far_6, 3'd4);

  // ---- beside ----
  row_t row_6;
  logic [5:0] count_6, far_count_6;
  logic [7:0] top_6;
  logic [Lanes-1:0][3:0] offsets_6;

  prim_delay_ram #(
      .Width($bits(row_t)),
      .Cycles(4)
  ) u_row (
      .clk_i,
      .rst_ni,
      .data_i(row_2),
      .data_o(row_6)
  );
  prim_delay_ram #(
      .Width(8 + 4 * Lanes),
      .Cycles(6)
  ) u_offsets (
      .clk_i,
      .rst_ni,
      .data_i({top_i, offsets_i}),
      .data_o({top_6, offsets_6})
  );
  prim_delay #(
      .Width(12),
      .Cycles(2)
  ) u_counts (
      .clk_i,
      .data_i({6'(Lanes) - near_skips_4.count, 6'(Lanes) - far_skips_4.count}),
      .data_o({count_6, far_count_6})
  );

  always_ff @(posedge clk_i) begin
    row_o.row <= row_6;
    row_o.top <= top_6;
    row_o.offsets <= offsets_6;
    row_o.count <= count_6;
    row_o.far_count <= far_count_6;
    for (int unsigned i = 0; i < Lanes; i++) begin
      row_o.nibbles[i] <= near_out[i].what[3:0];
      row_o.entries[i] <= far_out[i].what;
    end
  end
  assign valid_o = valid_q[Latency];

  logic unused;
  assign unused = ^{near_out, far_out};
endmodule
