// SPDX-License-Identifier: Apache-2.0
// xpack_pkg - what the parts of xpack's decoder share. docs/codec.md, section 10, has the bytes.
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
    logic       buffer;  // of the page's head
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

  // Units (of 256 values) of a page: 4 .. 64.
  function automatic logic [6:0] xpack_values(input logic [1:0] tokens, input logic [1:0] blocks);
    return 7'({1'b0, blocks} + 3'd1) << (3'd2 + 3'(tokens));
  endfunction
endpackage
