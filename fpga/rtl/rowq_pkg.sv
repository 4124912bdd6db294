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

  // How the encoder scales a row: by group a reciprocal, by half a shift; and what it writes.
  typedef struct packed {
    logic             zero;        // nothing but zeros
    logic [31:0]      side;
    logic [3:0][15:0] reciprocal;
    logic [1:0][3:0]  shift;
  } frame_t;

  // What of it a beat needs, which is a group.
  typedef struct packed {
    logic        zero;
    logic [31:0] side;
    logic [15:0] reciprocal;
    logic [3:0]  shift;
  } group_t;

  function automatic logic [7:0] field_of(input logic [15:0] value, input logic bf16);
    return bf16 ? value[14:7] : {3'd0, value[14:10]};
  endfunction

  // The share of a row's largest value, in 32nds: a * 27, 25, 24, 32.
  function automatic logic [19:0] times_share(input logic [15:0] a, input logic [3:0] bits);
    unique case (bits)
      4'd3: return {a, 4'd0} + {1'b0, a, 3'd0} + 20'({a, 1'b0}) + 20'(a);
      4'd4: return {a, 4'd0} + {1'b0, a, 3'd0} + 20'(a);
      4'd8: return {a[14:0], 5'd0};
      default: return {a, 4'd0} + {1'b0, a, 3'd0};
    endcase
  endfunction

  // Bits of a width in the side word.
  function automatic logic [3:0] width_bits(input logic [3:0] bits);
    return bits < 4'd4 ? 4'd5 : 4'd8 - bits;
  endfunction
endpackage
