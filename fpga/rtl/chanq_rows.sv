// SPDX-License-Identifier: Apache-2.0
// chanq_rows - pages turned back, written token by token and read channel by channel: the encoder's
// corner turn.
//
// 32 banks of 1,536 words: 3 pages of 64 tokens, or 6 of fewer. The word of channel c and token t
// lies in bank (c ^ t) % 32 (16 tokens: (c ^ 2t) % 32), so neither a beat's channels nor the tokens
// of a step meet. A step is 32 tokens of one channel, or 16 of two neighbours. Read latency 3
// cycles; one beat in and one step out a cycle, never stalls.
`include "speckv_check.svh"

module chanq_rows
  import speckv_pkg::*;
  import chanq_pkg::*;
(
    input  logic               clk_i,
    input  logic               write_i,
    input  logic   [      1:0] write_tokens_i,
    input  logic   [      2:0] write_slot_i,
    input  logic   [      5:0] write_token_i,
    input  logic   [      2:0] write_beat_i,    // of the token
    input  fixed_t [Lanes-1:0] write_values_i,
    input  logic   [      1:0] tokens_i,
    input  logic   [      2:0] slot_i,
    input  logic   [      7:0] channel_i,
    input  logic               half_i,          // the upper tokens of 64
    output fixed_t [Lanes-1:0] values_o
);
  localparam int unsigned Words = 1536;
  typedef logic [10:0] addr_t;

  function automatic logic [4:0] bank_spread(input logic [1:0] tokens, input logic [5:0] token);
    return 5'(tokens == 2'd0 ? token << 1 : token);
  endfunction
  function automatic addr_t addr_of(input logic [1:0] tokens, input logic [2:0] slot,
                                    input logic [5:0] token, input logic [2:0] column);
    return tokens == 2'd2 ? {slot[1:0], token, column} : {slot, token[4:0], column};
  endfunction

  logic  write_q;
  addr_t write_addr_q;
  fixed_t [Lanes-1:0] write_values_q, words;
  logic [4:0] turn_1, turn_2;
  logic sixteen_1, sixteen_2;

  always_ff @(posedge clk_i) begin
    write_q <= write_i;
    write_addr_q <= addr_of(write_tokens_i, write_slot_i, write_token_i, write_beat_i);
    for (int unsigned b = 0; b < Lanes; b++)
    write_values_q[b] <= write_values_i[5'(b)^bank_spread(write_tokens_i, write_token_i)];
  end

  for (genvar b = 0; b < Lanes; b++) begin : gen_bank
    logic [4:0] apart;
    logic [5:0] token;
    assign apart = 5'(b) ^ channel_i[4:0];
    assign token = tokens_i == 2'd0 ? {2'd0, apart[4:1]} : {half_i, apart};
    prim_ram #(
        .Width(16),
        .Depth(Words)
    ) u_bank (
        .clk_i,
        .write_i(write_q),
        .write_addr_i(write_addr_q),
        .write_data_i(write_values_q[b]),
        .read_addr_i(addr_of(tokens_i, slot_i, token, channel_i[7:5])),
        .read_data_o(words[b])
    );
  end

  always_ff @(posedge clk_i) begin
    turn_1 <= channel_i[4:0];
    turn_2 <= turn_1;
    sixteen_1 <= tokens_i == 2'd0;
    sixteen_2 <= sixteen_1;
    for (int unsigned i = 0; i < Lanes; i++)
    values_o[i] <= words[turn_2^(sixteen_2?{4'(i), 1'(i>>4)} : 5'(i))];
  end
endmodule
