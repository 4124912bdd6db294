// SPDX-License-Identifier: Apache-2.0
// chanq_unpack - the planes of 64 codes to 32 words of the corner turn.
//
// A code becomes the middle of its cell in 256ths of the channel's reach, 9 bits with sign: then
// nothing behind the corner turn asks for widths. Latency 3 cycles, a step a cycle, never stalls.
`include "speckv_check.svh"

module chanq_unpack
  import speckv_pkg::*;
  import chanq_pkg::*;
(
    input  logic                    clk_i,
    input  logic                    rst_ni,
    input  logic                    valid_i,
    input  step_t                   step_i,
    input  beat_t                   window_i,
    // Word and address of every bank.
    output logic                    valid_o,
    output logic  [Lanes-1:0][ 8:0] addr_o,
    output logic  [Lanes-1:0][17:0] words_o
);
  // A slot is 16 tokens of a channel; channel_of says whose.
  function automatic logic [1:0] channel_of(input logic [1:0] tokens, input logic [1:0] slot);
    unique case (tokens)
      2'd0: return slot;
      2'd1: return {1'b0, slot[1]};
      default: return 2'd0;
    endcase
  endfunction

  // 1: planes of the slots, the highest bit first; those that a code lacks are 0.
  logic [HalfwordsOfBeat-1:0][15:0] halfwords;
  logic valid_1;
  step_t step_1;
  logic [Slots-1:0][7:0][15:0] planes_1;
  logic [Slots-1:0][4:0] start;

  assign halfwords = window_i;
  always_comb begin
    start = '0;
    unique case (step_i.tokens)
      2'd0: begin
        start[1] = 5'(step_i.widths[0]);
        start[2] = 5'(step_i.widths[0]) + 5'(step_i.widths[1]);
        start[3] = 5'(step_i.widths[0]) + 5'(step_i.widths[1]) + 5'(step_i.widths[2]);
      end
      2'd1: begin
        start[1] = 5'd1;
        start[2] = {step_i.widths[0], 1'b0};
        start[3] = {step_i.widths[0], 1'b1};
      end
      default: for (int unsigned s = 0; s < Slots; s++) start[s] = 5'(s);
    endcase
  end
  always_ff @(posedge clk_i) begin
    valid_1 <= valid_i && rst_ni;
    step_1 <= step_i;
    for (int unsigned s = 0; s < Slots; s++) begin
      for (int unsigned p = 0; p < 8; p++) begin
        planes_1[s][p] <= 4'(p) < step_i.widths[channel_of(step_i.tokens, 2'(s))] ?
            halfwords[start[s]+(5'(p)<<step_i.tokens)] : '0;
      end
    end
  end

  // 2: middles of cells: 2 * code + 1 - 2^width, times 256 >> width.
  logic valid_2;
  step_t step_2;
  logic [Slots-1:0][15:0][8:0] middle_2;

  always_ff @(posedge clk_i) begin
    valid_2 <= valid_1 && rst_ni;
    step_2 <= step_1;
    for (int unsigned s = 0; s < Slots; s++) begin
      for (int unsigned t = 0; t < 16; t++) begin
        logic [8:0] code;
        code = 9'd256 >> step_1.widths[channel_of(step_1.tokens, 2'(s))];
        for (int unsigned p = 0; p < 8; p++) code[8-p] |= planes_1[s][p][t];
        middle_2[s][t] <= code ^ `MUT(81, 9'h100, 9'h101);
      end
    end
  end

  // 3: two tokens to a word, words to their banks.
  logic [Lanes-1:0][17:0] words;

  always_comb begin
    for (int unsigned w = 0; w < Lanes; w++) begin
      unique case (step_2.tokens)
        2'd0: words[w] = {middle_2[w%4][w/4*2+1], middle_2[w%4][w/4*2]};
        2'd1: words[w] = {middle_2[w%2*2+w/16][w/2%8*2+1], middle_2[w%2*2+w/16][w/2%8*2]};
        default: words[w] = {middle_2[w/8][w%8*2+1], middle_2[w/8][w%8*2]};
      endcase
    end
  end
  always_ff @(posedge clk_i) begin
    valid_o <= valid_2 && rst_ni;
    for (int unsigned b = 0; b < Lanes; b++) begin
      logic [4:0] word, token_pair;
      word = 5'(b) ^ step_2.channel[4:0];
      words_o[b] <= words[word];
      unique case (step_2.tokens)
        2'd0: token_pair = {2'd0, word[4:2]};
        2'd1: token_pair = {1'd0, word[4:1]};
        default: token_pair = word;
      endcase
      addr_o[b] <= {step_2.buffer, token_pair, step_2.channel[7:5]};
    end
  end

  logic unused_step;
  assign unused_step = ^step_2.widths;
endmodule
