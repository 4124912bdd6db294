// SPDX-License-Identifier: Apache-2.0
// chanq_corner - the corner turn: codes come channel by channel and leave token by token.
//
// 32 banks of two buffers; chanq_pkg's spread() says in which bank a word lies. Read latency 3
// cycles; one step in and one beat out a cycle, never stalls.
`include "speckv_check.svh"

module chanq_corner
  import chanq_pkg::*;
(
    input  logic                      clk_i,
    input  logic                      write_i,
    input  logic    [Lanes-1:0][ 8:0] write_addr_i,
    input  logic    [Lanes-1:0][17:0] write_words_i,
    input  logic                      buffer_i,
    input  logic    [      1:0]       tokens_i,
    input  logic    [      5:0]       token_i,
    input  logic    [      2:0]       beat_i,         // of the token
    output middle_t [Lanes-1:0]       middles_o
);
  logic [Lanes-1:0][17:0] words;
  logic [4:0] spread_1, spread_2;
  logic odd_1, odd_2;

  for (genvar b = 0; b < Lanes; b++) begin : gen_bank
    prim_ram #(
        .Width(18),
        .Depth(512)
    ) u_bank (
        .clk_i,
        .write_i,
        .write_addr_i(write_addr_i[b]),
        .write_data_i(write_words_i[b]),
        .read_addr_i({buffer_i, token_i[5:1], beat_i}),
        .read_data_o(words[b])
    );
  end

  always_ff @(posedge clk_i) begin
    spread_1 <= spread(tokens_i, token_i[5:1]);
    spread_2 <= spread_1;
    odd_1 <= token_i[0];
    odd_2 <= `MUT(82, odd_1, 1'b0);
    for (int unsigned i = 0; i < Lanes; i++)
    middles_o[i] <= odd_2 ? words[5'(i)^spread_2][17:9] : words[5'(i)^spread_2][8:0];
  end
endmodule
