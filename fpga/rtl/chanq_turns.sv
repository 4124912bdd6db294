// SPDX-License-Identifier: Apache-2.0
// chanq_turns - the tables of turns: cosine and sine by token and pair, for two thetas.
//
// 64 tokens x 128 pairs x 32 bits a table. A read gives each channel of a beat the turn of its
// pair, and none to those behind the rotated ones. Latency 3 cycles, a read and a write a cycle,
// never stalls. A write has 16 pairs, cosine below sine; no read may come for that table meanwhile.
`include "speckv_check.svh"

module chanq_turns
  import speckv_pkg::*;
  import chanq_pkg::*;
(
    input  logic                          clk_i,
    input  logic                          write_i,
    input  logic        [      9:0]       write_addr_i,  // theta, token, sixteenth of the pairs
    input  beat_t                         write_data_i,
    input  tag_t                          tag_i,
    output logic signed [Lanes-1:0][15:0] cosines_o,
    output logic signed [Lanes-1:0][15:0] sines_o
);
  localparam logic [15:0] One = 16'd16384;

  // Half of the rotated channels, in beats; a quarter of them at least, for pairs by halves.
  logic [1:0] word;
  logic [2:0] hop;
  logic [1:0][BeatBits-1:0] read;
  tag_t tag_1, tag_2;

  assign hop = tag_i.rope.rotated[8:6];
  always_comb begin
    if (!tag_i.rope.half_split) word = tag_i.beat[2:1];
    else word = 2'(tag_i.beat < hop ? tag_i.beat : tag_i.beat - hop);
  end

  for (genvar h = 0; h < 2; h++) begin : gen_half
    prim_ram #(
        .Width(BeatBits),
        .Depth(512)
    ) u_half (
        .clk_i,
        .write_i(write_i && write_addr_i[0] == 1'(h)),
        .write_addr_i(write_addr_i[9:1]),
        .write_data_i,
        .read_addr_i({`MUT(93, tag_i.rope.theta, 1'b0), tag_i.token, word}),
        .read_data_o(read[h])
    );
  end

  logic [Lanes-1:0][31:0] turns;

  assign turns = read;
  always_ff @(posedge clk_i) begin
    tag_1 <= tag_i;
    tag_2 <= tag_1;
    for (int unsigned i = 0; i < Lanes; i++) begin
      logic [4:0] place;
      if (!tag_2.rope.half_split) place = {tag_2.beat[0], 4'(i >> 1)};
      else if (tag_2.rope.rotated[8:6] != '0) place = 5'(i);
      else place = 5'(i) & (tag_2.rope.rotated[5] ? 5'd15 : 5'd7);
      if ({1'b0, tag_2.beat, 5'(i)} < tag_2.rope.rotated) begin
        cosines_o[i] <= turns[place][15:0];
        sines_o[i] <= turns[place][31:16];
      end else begin
        cosines_o[i] <= One;
        sines_o[i] <= '0;
      end
    end
  end

  logic unused_tag;
  assign unused_tag = ^{tag_2.last, tag_2.bf16, tag_2.token, tag_2.rope.theta};
endmodule
