// SPDX-License-Identifier: Apache-2.0
// chanq_pkg - what the parts of chanq's decoder and encoder share. docs/codec.md, section 5, has
// the bytes.
`include "speckv_check.svh"

package chanq_pkg;
  import speckv_pkg::*;

  parameter int unsigned Lanes = 32;  // values of a beat
  parameter int unsigned Channels = 256;  // head_dim at most
  parameter int unsigned Slots = 4;  // channels of a step at most
  parameter int unsigned HalfwordsOfBeat = BeatBytes / 2;
  parameter int unsigned DropPlanes = 5;
  parameter logic [7:0] ReachMax = 8'd119;
  parameter logic [7:0] GrainMax = 8'd2;

  // How RoPE turned the page's head: rotated channels first, then the others. Channels pair with
  // their neighbour, or (half_split) with the one rotated / 2 away. rotated may be any even number
  // of neighbours, and of halves 0, 16, 32 or a multiple of 64.
  typedef struct packed {
    logic       half_split;
    logic       theta;       // which of the two loaded tables of turns
    logic [8:0] rotated;
  } rope_t;

  typedef logic [Channels-1:0][3:0] widths_t;  // bits of a code, by channel: 0 .. 8
  typedef logic signed [8:0] middle_t;  // of a cell, in 256ths of the reach
  typedef logic signed [23:0] turned_t;  // four times the fixed point

  // A step of the first pass: 64 codes, of 1, 2 or 4 channels.
  typedef struct packed {
    logic                  buffer;
    logic [1:0]            tokens;
    logic [7:0]            channel;  // the first
    logic [Slots-1:0][3:0] widths;   // by channel
  } step_t;

  // A word of a page beside its codes, as it comes from the ring.
  typedef struct packed {
    logic       valid;
    logic       buffer;
    logic       drops;   // a plane of them; else 32 anchors, and with the first the header
    logic [2:0] index;   // of the plane or of the 32 channels
    logic [1:0] start;   // the plane's place in the word, in 8 bytes
  } side_tag_t;

  // What goes beside a beat through the second pass.
  typedef struct packed {
    logic       last;   // beat of its page
    logic       bf16;
    logic [2:0] beat;   // of its token
    logic [5:0] token;
    rope_t      rope;
  } tag_t;

  // ---- encoder ----
  typedef logic signed [15:0] fixed_t;  // turned back
  typedef logic [14:0] size_t;

  // What the encoder knows of a channel before its codes: the bits of a code, the reach it asks
  // for, its middle, and the place of the middle's highest bit.
  typedef struct packed {
    logic [3:0] width;
    logic [6:0] wanted;
    logic       neg;
    size_t      size;
    logic [3:0] place;
  } fit_t;

  // A page behind the encoder's first pass.
  typedef struct packed {
    page_cfg_t   cfg;
    ring_count_t base;
    rope_t       rope;
    logic [7:0]  field;    // its largest exponent
    refusal_e    refusal;
  } encoded_t;

  // A step of the third pass: 32 tokens of a channel, or 16 of two.
  typedef struct packed {
    logic       first;    // of its page
    logic       last;
    logic [1:0] tokens;
    logic [1:0] blocks;
    logic [7:0] channel;  // the first
    logic       half;     // the upper tokens of 64
    logic [2:0] slot;     // of chanq_rows
    logic [6:0] top;
    logic [1:0] grain;
  } quant_t;

  // What is stored of a channel beside its codes, and their bits.
  typedef struct packed {
    logic [3:0] width;
    logic [4:0] drop;
    logic [7:0] anchor;
  } side_t;

  typedef struct packed {
    logic [7:0] slot;  // of its widths
    encoded_t   page;
  } scanned_t;

  // The highest bit that is set; 0 where none is.
  function automatic logic [3:0] log2_of(input logic [15:0] value);
    log2_of = '0;
    for (int unsigned i = 0; i < 16; i++) if (value[i]) log2_of = 4'(i);
  endfunction

  // An anchor is the middle to 5 bits, but no finer than 2^(k-4): with `place` the larger of k and
  // the place of its highest bit, rounded (halves away from zero) to a multiple of 2^(place-4).
  function automatic logic [15:0] anchor_sum(input size_t size, input logic [3:0] place);
    return 16'(size) + (place > 4'd4 ? `MUT(155, 16'd1, 16'd0) << (place - 4'd5) : 16'd0);
  endfunction
  function automatic logic [15:0] anchor_size(input logic [15:0] sum, input logic [3:0] place);
    return place > 4'd4 ? sum & (16'hffff << (place - 4'd4)) : sum;
  endfunction
  // Its code: 16 an octave above k, and the five bits (32 of them: the next octave's 16).
  function automatic logic [6:0] anchor_code(input logic [15:0] sum, input logic [3:0] place,
                                             input logic [3:0] octave);
    return {3'(place - octave), 4'd0} + 7'({sum, 4'd0} >> place);
  endfunction

  // Rotated channels whose partners this build finds.
  function automatic logic rope_known(input rope_t rope);
    if (rope.rotated > 9'd256) return 1'b0;
    if (!rope.half_split) return !rope.rotated[0];
    return rope.rotated[5:0] == '0 || rope.rotated == 9'd16 || rope.rotated == 9'd32;
  endfunction

  // Bytes before the codes are 8 * (1 + 13 * head_dim / 64): here in units of 8 bytes.
  function automatic logic [5:0] side_words(input logic [1:0] blocks);
    return 6'd14 + 6'(blocks) * 6'd13;
  endfunction

  // Of a plane of drops: 8 * (1 + head_dim / 8 + plane * head_dim / 64), in units of 8 bytes.
  function automatic logic [5:0] drop_word(input logic [1:0] blocks, input logic [2:0] plane);
    return 6'd9 + {1'b0, blocks, 3'd0} + 6'(plane) * (6'(blocks) + 6'd1);
  endfunction

  // Two tokens' codes are a word of the corner turn. The word of channel c and tokens 2p, 2p + 1
  // lies in bank (c ^ spread(p)) % 32, so that neither the 64 codes of a step nor the 32 channels
  // of a beat meet in one bank.
  function automatic logic [4:0] spread(input logic [1:0] tokens, input logic [4:0] token_pair);
    unique case (tokens)
      2'd0: return {token_pair[2:0], 2'd0};
      2'd1: return {token_pair[3:0], 1'd0};
      default: return token_pair;
    endcase
  endfunction
endpackage
