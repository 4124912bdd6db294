// SPDX-License-Identifier: Apache-2.0
// speckv_pkg - the words that modules of the engine share: beats, pages, codecs, refusals, status.
//
// A beat is 64 bytes: 32 values of the raw side. A unit is 32 bytes, what every encoded page is a
// multiple of. Geometry follows docs/codec.md; what a function here calls 0 is not supported.
package speckv_pkg;
  parameter int unsigned BeatBytes = 64;
  parameter int unsigned BeatBits = 8 * BeatBytes;
  parameter int unsigned UnitBytes = 32;
  parameter int unsigned UnitBits = 8 * UnitBytes;
  // A lane's page ring (page_ring.sv) in units: 64 KiB, two of the largest raw pages.
  parameter int unsigned RingUnits = 2048;
  parameter int unsigned RingAddrBits = $clog2(RingUnits);
  // Cycles from an address at page_ring to its data.
  parameter int unsigned RingLatency = 3;
  // Cycles a decoder core may take from a page's first grant to its first raw beat. Where pages of
  // different cores follow each other, a slower one would leave a bubble; a faster one waits.
  parameter int unsigned CoreLead = 48;
  // Units or beats of one page: at most 1024 and 512.
  parameter int unsigned PageUnitBits = 11;

  typedef logic [BeatBits-1:0] beat_t;
  typedef logic [RingAddrBits-1:0] ring_addr_t;
  // Units that went through a ring since reset, modulo twice the ring: tells full from empty.
  typedef logic [RingAddrBits:0] ring_count_t;
  typedef logic [PageUnitBits-1:0] page_units_t;

  // Ids of docs/codec.md.
  typedef enum logic [4:0] {
    CodecRaw     = 5'd0,
    CodecQ8      = 5'd2,
    CodecRowq3   = 5'd3,
    CodecRowq4   = 5'd4,
    CodecRowq5   = 5'd5,
    CodecRowq6   = 5'd6,
    CodecRowq8   = 5'd8,
    CodecXpack   = 5'd9,
    CodecQ8sink  = 5'd10,
    CodecChanq25 = 5'd16,
    CodecChanq3  = 5'd17,
    CodecChanq35 = 5'd18,
    CodecChanq4  = 5'd19,
    CodecChanq45 = 5'd20,
    CodecChanq5  = 5'd21,
    CodecChanq7  = 5'd22
  } codec_e;

  // One bit an id: what this build decodes and encodes. The capability registers say the same.
  parameter logic [31:0] DecodeMask = 32'h007f_077d;
  parameter logic [31:0] EncodeMask = 32'h007f_077d;

  // What a lane needs to know about one page; it travels with the page.
  typedef struct packed {
    logic [4:0] codec;
    logic       bf16;
    logic [1:0] tokens;  // log2(tokens) - 4: 16, 32, 64
    logic [1:0] blocks;  // head_dim / 64 - 1: 64, 128, 192, 256
  } page_cfg_t;

  function automatic logic is_rowq(input logic [4:0] codec);
    return codec >= CodecRowq3 && codec <= CodecRowq8 && codec != 5'd7;
  endfunction

  function automatic logic is_chanq(input logic [4:0] codec);
    return codec >= CodecChanq25 && codec <= CodecChanq7;
  endfunction

  // Beats of a raw page: 32 .. 512, a multiple of 32.
  function automatic page_units_t page_beats(input page_cfg_t cfg);
    return PageUnitBits'(({2'd0, cfg.blocks} + 4'd1)) << (3'd5 + 3'(cfg.tokens));
  endfunction

  // Units of xpack's head: (12 bytes for 256 values, head_dim / 2), rounded up: 3 .. 28.
  function automatic logic [4:0] xpack_head_units(input page_cfg_t cfg);
    logic [7:0] groups;
    groups = 8'(page_beats(cfg) >> 3);
    return 5'((groups + (groups << 1) + {2'd0, {1'b0, cfg.blocks} + 3'd1, 3'd0} + 8'd7) >> 3);
  endfunction

  // Units of an encoded page: 0 where no codec of this build has such pages.
  function automatic page_units_t page_units(input page_cfg_t cfg);
    page_units_t beats, eighth, half_bit;
    beats = page_beats(cfg);
    eighth = beats >> 3;
    half_bit = beats >> 4;  // a value's; chanq stores half a bit more than its name says
    unique case (cfg.codec)
      CodecRaw: return beats << 1;
      CodecQ8: return beats + (beats >> 5);
      CodecQ8sink: return beats + (beats >> 5) + PageUnitBits'({2'd0, cfg.blocks} + 4'd1) * 4;
      CodecRowq3: return eighth + (eighth << 1);
      CodecRowq4: return eighth << 2;
      CodecRowq5: return (eighth << 2) + eighth;
      CodecRowq6: return (eighth << 2) + (eighth << 1);
      CodecRowq8: return eighth << 3;
      CodecXpack:
      return PageUnitBits'(xpack_head_units(
          cfg
      )) + eighth + (eighth << 1) + (eighth << 3) + (cfg.bf16 ? '0 : eighth + (eighth << 1));
      CodecChanq25: return (half_bit << 2) + (half_bit << 1);
      CodecChanq3: return (half_bit << 3) - half_bit;
      CodecChanq35: return half_bit << 3;
      CodecChanq4: return (half_bit << 3) + half_bit;
      CodecChanq45: return (half_bit << 3) + (half_bit << 1);
      CodecChanq5: return (half_bit << 3) + (half_bit << 1) + half_bit;
      CodecChanq7: return (half_bit << 4) - half_bit;
      default: return '0;
    endcase
  endfunction

  // Why an encoder refuses a page; numbers of enum Refusal in libspeckv/codec/codec.hpp.
  typedef enum logic [2:0] {
    RefusalNone       = 3'd0,
    RefusalNotFinite  = 3'd1,
    RefusalOutOfRange = 3'd2,
    RefusalNoRoom     = 3'd5
  } refusal_e;
endpackage
