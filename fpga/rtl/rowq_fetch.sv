// SPDX-License-Identifier: Apache-2.0
// rowq_fetch - reads a rowq page out of the page ring, plane by plane, and makes quarter rows of
// it.
//
// Planes lie one after the other in a page, so eight rows are gathered at a time (a group: 32 beats
// of the raw side): the side words are one unit, each plane two reads of 64 bytes. That is 2 * bits
// + 1 reads, 17 at most, against 32 beats: reading is never what a page waits for. Two groups take
// turns: one is gathered while the other leaves.
//
// A beat leaves when room_i says that the datapath has room for two (the beats of a block are
// neighbours), 3 cycles after it was chosen. take_o is high for each beat chosen. page_done_o: the
// page's last word was read.
`include "speckv_check.svh"

module rowq_fetch
  import speckv_pkg::*;
  import rowq_pkg::*;
(
    input  logic       clk_i,
    input  logic       rst_ni,
    // The page at hand, held until page_done_o.
    input  logic       page_valid_i,
    input  page_cfg_t  page_cfg_i,
    input  ring_addr_t page_base_i,
    output logic       page_done_o,
    // Page ring: data comes RingLatency cycles after its address was granted.
    output logic       read_o,
    output logic       read_half_o,   // only 32 bytes of it
    output ring_addr_t read_addr_o,
    input  logic       read_grant_i,
    input  beat_t      read_data_i,
    // Quarter rows.
    input  logic       room_i,
    output logic       take_o,
    output logic       valid_o,
    output coded_t     coded_o
);
  // ---- reading: side words, planes bits-1 .. 1, plane 0; group by group ----
  typedef struct packed {
    logic       valid;
    logic       side;
    logic [2:0] plane;
    logic       second;     // of the plane's two words
    logic       buffer;
    logic       group_end;
    logic       page_end;
  } read_tag_t;

  typedef struct packed {
    logic [3:0] bits;
    logic       bf16;
    logic       first;  // group of its page
    logic       last;
  } group_t;

  logic [3:0] bits;
  logic [4:0] groups;  // of the page: 1 .. 16
  page_units_t plane_units;
  logic [3:0] group_q;
  logic [2:0] plane_q;
  logic side_q;  // the group's side words come next
  logic second_q, fill_q, ended_q;
  ring_addr_t plane_addr_q, addr;
  logic [1:0] full_q;
  group_t group_info_q[2];
  read_tag_t issue;
  read_tag_t [RingLatency-1:0] tags_q;
  read_tag_t arrived;
  logic want, reading;

  assign bits = page_cfg_i.codec[3:0];
  assign groups = 5'(page_beats(page_cfg_i) >> 5);
  assign plane_units = page_beats(page_cfg_i) >> 3;  // 16 bytes a row, rows are beats / 4
  assign want = page_valid_i && !ended_q && !full_q[fill_q];

  always_comb begin
    issue = '{
        valid: reading,
        side: side_q,
        plane: plane_q,
        second: second_q,
        buffer: fill_q,
        group_end: !side_q && plane_q == 3'd0 && second_q,
        page_end: 5'(group_q) + 5'd1 == groups && !side_q && plane_q == 3'd0 && second_q
    };
    addr = plane_addr_q + RingAddrBits'({group_q, second_q, 1'b0});
    if (issue.side) addr = page_base_i + RingAddrBits'(group_q);
    else if (plane_q == 3'd0) begin  // 12 bytes a row: three units a group
      addr = plane_addr_q + RingAddrBits'(group_q) +
          RingAddrBits'({5'(group_q) + 5'(second_q), 1'b0});
    end
  end
  assign read_o = want;
  assign read_half_o = issue.side || (plane_q == 3'd0 && second_q);
  assign reading = want && read_grant_i;
  assign read_addr_o = `MUT(30, addr, addr & ~11'd1);

  always_ff @(posedge clk_i) begin
    tags_q <= {tags_q[RingLatency-2:0], issue};
    if (reading) begin
      if (issue.side) begin
        plane_q <= 3'(bits - 4'd1);
        side_q <= 1'b0;
        second_q <= 1'b0;
        plane_addr_q <= page_base_i + RingAddrBits'(groups);
      end else begin
        second_q <= !second_q;
        if (second_q) begin
          plane_q <= plane_q - 3'd1;
          plane_addr_q <= plane_addr_q + RingAddrBits'(plane_units);
        end
      end
      if (issue.group_end) begin
        side_q <= 1'b1;
        group_q <= issue.page_end ? 4'd0 : group_q + 4'd1;
        fill_q <= !fill_q;
        group_info_q[fill_q] <= '{
            bits: bits,
            bf16: page_cfg_i.bf16,
            first: group_q == 4'd0,
            last: issue.page_end
        };
      end
      if (issue.page_end) ended_q <= 1'b1;
    end
    if (page_done_o) ended_q <= 1'b0;
    if (!rst_ni) begin
      tags_q <= '0;
      group_q <= '0;
      second_q <= 1'b0;
      side_q <= 1'b1;
      fill_q <= 1'b0;
      ended_q <= 1'b0;
    end
  end
  assign arrived = tags_q[RingLatency-1];
  assign page_done_o = arrived.valid && arrived.page_end;

  // What leaves.
  logic [4:0] beat_q;  // row within the group, quarter
  logic leave_q;  // the group that leaves
  logic ready_q;  // its words have arrived

  // ---- gathered groups: two words a plane, two groups ----
  logic [UnitBits-1:0] sides_q[2];
  beat_t [7:0] words;  // of the half of the eight rows that leaves
  beat_t low_second;

  for (genvar p = 0; p < 8; p++) begin : gen_plane
    beat_t words_q[4];
    always_ff @(posedge clk_i) begin
      if (arrived.valid && !arrived.side && arrived.plane == 3'(p))
        words_q[{arrived.buffer, arrived.second}] <= read_data_i;
    end
    assign words[p] = words_q[{leave_q, p==0?1'b0 : beat_q[4]}];
    if (p == 0) begin : gen_low
      assign low_second = words_q[{leave_q, 1'b1}];
    end
  end
  always_ff @(posedge clk_i) begin
    if (arrived.valid && arrived.side) sides_q[arrived.buffer] <= read_data_i[UnitBits-1:0];
  end

  // ---- quarter rows ----
  group_t info;

  assign info = group_info_q[leave_q];
  assign take_o = ready_q && (room_i || beat_q[0]);

  logic [1:0] arrived_q;
  always_ff @(posedge clk_i) begin
    if (reading && issue.group_end) full_q[fill_q] <= 1'b1;
    if (arrived.valid && arrived.group_end) arrived_q[arrived.buffer] <= 1'b1;
    if (take_o) begin
      beat_q <= beat_q + 5'd1;
      if (beat_q == 5'd31) begin
        full_q[leave_q] <= 1'b0;
        arrived_q[leave_q] <= 1'b0;
        leave_q <= !leave_q;
      end
    end
    if (!rst_ni) begin
      full_q <= '0;
      arrived_q <= '0;
      beat_q <= '0;
      leave_q <= 1'b0;
    end
  end
  assign ready_q = arrived_q[leave_q];

  // 1: the group's words of this half of eight rows; 2: the quarter's bytes.
  logic valid_1, valid_2;
  tag_t tag_1, tag_2;
  beat_t [7:1] words_1;
  logic [UnitBits-1:0] sides_1;
  logic [4:0] beat_1;
  logic [767:0] low_1;

  always_ff @(posedge clk_i) begin
    valid_1 <= take_o && rst_ni;
    tag_1 <= '{
        first: info.first && beat_q == 5'd0,
        last: info.last && beat_q == 5'd31,
        quarter: beat_q[1:0],
        bits: info.bits,
        bf16: info.bf16
    };
    beat_1 <= beat_q;
    words_1 <= words[7:1];
    low_1 <= {low_second[UnitBits-1:0], words[0]};
    sides_1 <= sides_q[leave_q];
  end

  always_ff @(posedge clk_i) begin
    valid_2 <= valid_1 && rst_ni;
    tag_2 <= tag_1;
    coded_o.side <= sides_1[{beat_1[4:2], 5'd0}+:32];
    coded_o.low <= low_1[10'(beat_1)*10'd24+:24];
    for (int unsigned p = 1; p < 8; p++)
    coded_o.planes[p] <= 4'(p) < tag_1.bits ? words_1[p][{beat_1[3:0], 5'd0}+:32] : '0;
  end
  assign coded_o.tag = tag_2;
  assign valid_o = valid_2;

  logic unused_word;
  assign unused_word = ^{low_second[BeatBits-1:UnitBits], page_cfg_i.codec[4]};

  `SPECKV_ASSERT(RowqFetchBits, !page_valid_i || is_rowq(page_cfg_i.codec))
endmodule
