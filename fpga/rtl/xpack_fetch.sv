// SPDX-License-Identifier: Apache-2.0
// xpack_fetch - reads an xpack page out of the page ring and makes beats of codes and bytes of it.
//
// The head first (up to 14 reads of 64 bytes), given out as it comes; then 256 values at a time, 6
// reads in bf16 and 7 in fp16 against 8 beats. Four groups of 256 values take turns, so that what
// has not left yet lasts while the next page's head comes. A beat leaves when room_i says so, one
// cycle after it was chosen (take_o). page_done_o: the page's last word is asked for.
//
// Heads have two buffers. A page has four groups at least, so the head of the page after next comes
// 10 cycles or more after the last beat of the page whose buffer it takes was chosen.
`include "speckv_check.svh"

module xpack_fetch
  import speckv_pkg::*;
  import xpack_pkg::*;
(
    input  logic             clk_i,
    input  logic             rst_ni,
    // The page at hand, held until page_done_o.
    input  logic             page_valid_i,
    input  page_cfg_t        page_cfg_i,
    input  ring_addr_t       page_base_i,
    output logic             page_done_o,
    // Page ring: data comes RingLatency cycles after its address was granted.
    output logic             read_o,
    output logic             read_half_o,
    output ring_addr_t       read_addr_o,
    input  logic             read_grant_i,
    input  beat_t            read_data_i,
    // 64 bytes of a head: buffer and number.
    output logic             head_valid_o,
    output logic       [4:0] head_addr_o,
    output beat_t            head_data_o,
    // Beats.
    input  logic             room_i,
    output logic             take_o,
    output logic             valid_o,
    output row_t             row_o
);
  localparam int unsigned GroupUnits = 14;  // of 32 bytes, at most
  localparam int unsigned Groups = 4;  // at hand
  localparam int unsigned GroupBits = $clog2(Groups);

  typedef struct packed {
    logic                 valid;
    logic                 head;
    logic [3:0]           word;       // of the head
    logic [3:0]           place;      // in the group, in units
    logic                 buffer;     // of the head
    logic [GroupBits-1:0] group;
    logic                 group_end;
  } read_tag_t;

  typedef struct packed {
    tag_t tag;   // of its first beat
    logic last;  // group of its page
  } group_t;

  // ---- reading ----
  logic [6:0] groups, group_q;
  logic [4:0] head_units, head_q;
  logic [3:0] group_units, place_q, place_next, low_place;
  ring_addr_t at_q;  // where the group begins
  logic in_head, page_end, head_fill_q, want, reading;
  logic [GroupBits-1:0] fill_q, leave_q;
  logic [Groups-1:0] full_q;
  group_t group_info_q[Groups];
  read_tag_t issue, arrived;
  read_tag_t [RingLatency-1:0] tags_q;

  assign groups = xpack_values(page_cfg_i.tokens, page_cfg_i.blocks);
  assign head_units = xpack_head_units(page_cfg_i);
  assign group_units = page_cfg_i.bf16 ? 4'd11 : 4'd14;
  assign low_place = page_cfg_i.bf16 ? 4'd3 : 4'd6;
  assign in_head = head_q < head_units;
  // Codes, then (after unit 2 of bf16, which stands alone) the low bytes.
  assign place_next = page_cfg_i.bf16 && place_q == 4'd2 ? low_place : place_q + 4'd2;
  assign want = page_valid_i && (in_head || !full_q[fill_q]);

  assign page_end = !in_head && place_next >= group_units && group_q + 7'd1 == groups;

  always_comb begin
    issue = '{
        valid: reading,
        head: in_head,
        word: head_q[4:1],
        place: place_q,
        buffer: head_fill_q,
        group: fill_q,
        group_end: !in_head && place_next >= group_units
    };
    if (in_head) read_addr_o = page_base_i + RingAddrBits'(head_q);
    else read_addr_o = at_q + RingAddrBits'(place_q);
  end
  assign read_o = want;
  assign read_half_o = in_head ? head_q +
      `MUT(106, 5'd1, 5'd2)
      == head_units : page_cfg_i.bf16 && place_q == 4'd2;
  assign reading = want && read_grant_i;
  assign page_done_o = reading && page_end;

  always_ff @(posedge clk_i) begin
    tags_q <= {tags_q[RingLatency-2:0], issue};
    if (reading) begin
      if (in_head) begin
        head_q <= head_q + 5'd2;
        at_q <= page_base_i + RingAddrBits'(head_units);
      end else begin
        place_q <= issue.group_end ? 4'd0 : place_next;
        if (issue.group_end) begin
          at_q <= at_q + RingAddrBits'(group_units);
          group_q <= group_q + 7'd1;
          fill_q <= fill_q + 1'b1;
          group_info_q[fill_q] <= '{
              tag: '{
                  first: group_q == '0,
                  last: 1'b0,
                  buffer: head_fill_q,
                  bf16: page_cfg_i.bf16,
                  tokens: page_cfg_i.tokens,
                  blocks: page_cfg_i.blocks,
                  beat: '0
              },
              last: page_end
          };
        end
      end
    end
    if (page_done_o) begin
      head_fill_q <= `MUT(107, !head_fill_q, head_fill_q);
      head_q <= '0;
      group_q <= '0;
    end
    if (!rst_ni) begin
      tags_q <= '0;
      head_fill_q <= 1'b0;
      head_q <= '0;
      group_q <= '0;
      place_q <= '0;
      fill_q <= '0;
    end
  end
  assign arrived = tags_q[RingLatency-1];
  assign head_valid_o = arrived.valid && arrived.head;
  assign head_addr_o = {arrived.buffer, arrived.word};
  assign head_data_o = read_data_i;

  // ---- gathered groups, in units of 32 bytes ----
  logic [UnitBits-1:0] gathered_q[Groups][GroupUnits];
  logic [  Groups-1:0] arrived_q;
  logic [2:0] row_q, beat_q;

  always_ff @(posedge clk_i) begin
    for (int unsigned u = 0; u < GroupUnits; u++) begin
      if (arrived.valid && !arrived.head && arrived.place == 4'(u))
        gathered_q[arrived.group][u] <= read_data_i[UnitBits-1:0];
      if (arrived.valid && !arrived.head && 5'(arrived.place) + 5'd1 == 5'(u))
        gathered_q[arrived.group][u] <= read_data_i[BeatBits-1:UnitBits];
    end
  end

  // ---- beats ----
  group_t info;
  logic [UnitBits-1:0] code_low, code_high, middle_low, middle_high, low;

  assign info = group_info_q[leave_q];
  assign take_o = arrived_q[leave_q] && room_i;
  assign code_low = gathered_q[leave_q][{3'd0, row_q[2]}];
  assign code_high = gathered_q[leave_q][2];
  assign middle_low = gathered_q[leave_q][row_q[2]?4 : 3];
  assign middle_high = gathered_q[leave_q][5];
  assign low = gathered_q[leave_q][4'(row_q)+(info.tag.bf16?4'd3 : 4'd6)];

  always_ff @(posedge clk_i) begin
    if (reading && issue.group_end) full_q[fill_q] <= 1'b1;
    if (arrived.valid && arrived.group_end) arrived_q[arrived.group] <= 1'b1;
    if (take_o) begin
      row_q <= row_q + 3'd1;
      beat_q <= beat_q == {info.tag.blocks, 1'b1} ? 3'd0 : beat_q + 3'd1;
      if (row_q == 3'd7) begin
        full_q[leave_q] <= 1'b0;
        arrived_q[leave_q] <= 1'b0;
        leave_q <= leave_q + 1'b1;
      end
    end
    if (!rst_ni) begin
      full_q <= '0;
      arrived_q <= '0;
      row_q <= '0;
      beat_q <= '0;
      leave_q <= '0;
    end
  end

  always_ff @(posedge clk_i) begin
    valid_o <= take_o && rst_ni;
    row_o.tag <= info.tag;
    row_o.tag.first <= info.tag.first && row_q == 3'd0;
    row_o.tag.last <= info.last && row_q == 3'd7;
    row_o.tag.beat <= beat_q;
    row_o.lows <= low;
    for (int unsigned i = 0; i < Lanes; i++) begin
      row_o.codes[i] <= {
        code_high[8'(8*i)+8'(row_q)], code_low[8'(8*i)+{5'd0, row_q[1:0], 1'b0}+:2]
      };
      row_o.middles[i] <= {
        middle_high[8'(8*i)+8'(row_q)], middle_low[8'(8*i)+{5'd0, row_q[1:0], 1'b0}+:2]
      };
    end
  end

  `SPECKV_ASSERT(XpackFetchCodec, !page_valid_i || page_cfg_i.codec == CodecXpack)
endmodule
