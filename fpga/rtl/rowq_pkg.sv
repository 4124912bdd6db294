// SPDX-License-Identifier: Apache-2.0
// rowq_pkg - what rowq's decoder and encoder share. docs/codec.md, section 4, has the bytes.
package rowq_pkg;
  // Signs of a half row: (number + 1) times this, counted up by one addition a half row.
  parameter logic [63:0] SignStep = 64'h9e3779b97f4a7c15;
  parameter logic [7:0] ZeroRow = 8'h80;

  // What goes beside a beat (a quarter of a row) through a datapath.
  typedef struct packed {
    logic       first;    // beat of its page
    logic       last;     // beat of its page
    logic [1:0] quarter;  // of its row
    logic [3:0] bits;     // of a code: 3, 4, 5, 6, 8
    logic       bf16;
  } tag_t;

  // A quarter of an encoded row. planes[p][i] is bit p of value i's code; planes above the code's
  // bits are 0. low: plane 0, three bits a quad.
  typedef struct packed {
    tag_t             tag;
    logic [31:0]      side;
    logic [7:1][31:0] planes;
    logic [23:0]      low;
  } coded_t;

  // Bits of a width in the side word.
  function automatic logic [3:0] width_bits(input logic [3:0] bits);
    return bits < 4'd4 ? 4'd5 : 4'd8 - bits;
  endfunction
endpackage
