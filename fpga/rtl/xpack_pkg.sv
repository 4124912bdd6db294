// SPDX-License-Identifier: Apache-2.0
// xpack_pkg - what the parts of xpack's decoder and encoder share. docs/codec.md, section 10, has
// the bytes.
package xpack_pkg;
  import speckv_pkg::*;

  parameter int unsigned Lanes = 32;  // values of a beat
  parameter logic [2:0] Escape = 3'd7;
  parameter logic [3:0] ZeroNibble = 4'd14;
  parameter logic [3:0] FarNibble = 4'd15;
  parameter logic [3:0] SmallestOffset = 4'd15;

  // What goes beside a beat.
  typedef struct packed {
    logic       first;   // beat of its page
    logic       last;
    logic       buffer;  // of the page's head (decoder)
    logic       bf16;
    logic [1:0] tokens;
    logic [1:0] blocks;
    logic [2:0] beat;    // of its token
  } tag_t;

  typedef struct packed {
    tag_t             tag;
    logic [31:0][2:0] codes;
    logic [31:0][2:0] middles;
    logic [31:0][7:0] lows;
  } row_t;

  // An encoded beat: a row, and what it adds to the two lists. offsets counts in the first token.
  typedef struct packed {
    row_t             row;
    logic [7:0]       top;        // the page's largest exponent
    logic [31:0][3:0] offsets;
    logic [5:0]       count;      // nibbles
    logic [31:0][3:0] nibbles;
    logic [5:0]       far_count;
    logic [31:0][7:0] entries;    // of the far list
  } packed_t;

  // How many lanes before each one are set, in two steps of a cycle each: within eights, then all.
  typedef struct packed {
    logic [31:0][2:0] places;
    logic [3:0][3:0]  eights;
  } partial_t;
  typedef struct packed {
    logic [31:0][4:0] ranks;
    logic [5:0]       count;  // of all lanes
  } ranks_t;

  // In logic, so that each bit is one small function of four and not a chain of additions.
  function automatic logic [2:0] ones_of(input logic [3:0] bits);
    logic [1:0] odd, both;
    odd = bits[3:2] ^ bits[1:0];
    both = bits[3:2] & bits[1:0];
    return {&both, ^both ^ (&odd), ^odd};
  endfunction
  function automatic partial_t partial_of(input logic [31:0] lanes);
    for (int unsigned i = 0; i < 32; i += 8) begin
      logic [3:0] below;
      logic [2:0] low;
      low = ones_of(lanes[i+:4]);
      for (int unsigned j = 0; j < 4; j++) begin
        below = 4'((5'd1 << j) - 5'd1);
        partial_of.places[i+j] = ones_of(lanes[i+:4] & below);
        partial_of.places[i+4+j] = low + ones_of(lanes[i+4+:4] & below);
      end
      partial_of.eights[i/8] = 4'(low) + 4'(ones_of(lanes[i+4+:4]));
    end
  endfunction
  function automatic ranks_t ranks_of(input partial_t partial);
    logic [4:0] two, three;
    two = 5'(partial.eights[0]) + 5'(partial.eights[1]);
    three = two + 5'(partial.eights[2]);
    for (int unsigned i = 0; i < 8; i++) begin
      ranks_of.ranks[i] = 5'(partial.places[i]);
      ranks_of.ranks[8+i] = 5'(partial.eights[0]) + 5'(partial.places[8+i]);
      ranks_of.ranks[16+i] = two + 5'(partial.places[16+i]);
      ranks_of.ranks[24+i] = three + 5'(partial.places[24+i]);
    end
    ranks_of.count = 6'(two) + (6'(partial.eights[2]) + 6'(partial.eights[3]));
  endfunction

  function automatic logic [7:0] xpack_field(input logic [15:0] value, input logic bf16);
    return bf16 ? value[14:7] : {3'd0, value[14:10]};
  endfunction

  // Units (of 256 values) of a page: 4 .. 64.
  function automatic logic [6:0] xpack_values(input logic [1:0] tokens, input logic [1:0] blocks);
    return 7'({1'b0, blocks} + 3'd1) << (3'd2 + 3'(tokens));
  endfunction

  // Where the list of nibbles begins and ends, in nibbles of the head.
  function automatic logic [11:0] list_of(input logic [1:0] tokens, input logic [1:0] blocks);
    return {3'd0, {1'b0, blocks} + 3'd1, 6'd0} + 12'd2 + {4'd0, xpack_values(tokens, blocks), 1'b0};
  endfunction
  function automatic logic [11:0] end_of(input logic [1:0] tokens, input logic [1:0] blocks);
    page_cfg_t cfg;
    cfg = '{codec: CodecXpack, bf16: 1'b0, tokens: tokens, blocks: blocks};
    return {1'b0, xpack_head_units(cfg), 6'd0};
  endfunction
endpackage
