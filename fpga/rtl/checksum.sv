// SPDX-License-Identifier: Apache-2.0
// checksum - the checksum of stored bytes (docs/codec.md, section 8) at 64 bytes a cycle.
//
// A beat here is two beats of the definition; half_i: the segment ends with the first. Beats may
// have gaps; first_i and last_i mark a segment's ends. A segment's sum comes about 45 cycles after
// its last beat, and the next segment may begin when it has come: the fold takes one 32 x 32
// multiplier 27 times. A beat a cycle, never stalls.
`include "speckv_check.svh"

module checksum
  import speckv_pkg::*;
(
    input  logic         clk_i,
    input  logic         rst_ni,
    input  logic         valid_i,
    input  logic         first_i,
    input  logic         last_i,
    input  logic         half_i,
    input  beat_t        beat_i,
    output logic         valid_o,
    output logic  [63:0] sum_o
);
  localparam logic [63:0] Step = 64'h9e3779b97f4a7c15;
  localparam logic [63:0] BytesFactor = 64'h3956c25bf348b539;
  localparam logic [3:0][63:0] Start = {
    64'ha54ff53a5f1d36f1, 64'h3c6ef372fe94f82b, 64'hbb67ae8584caa73b, 64'h6a09e667f3bcc908
  };
  localparam logic [3:0][63:0] Mask = {
    64'hd807aa98a3030242, 64'hab1c5ed5da6d8118, 64'h923f82a4af194f9b, 64'h59f111f1b605d019
  };
  // Of the four sums, then of the four products.
  localparam logic [7:0][63:0] Factor = {
    64'he9b5dba58189dbbd,
    64'hb5c0fbcfec4d3b2f,
    64'h7137449123ef65cd,
    64'h428a2f98d728ae23,
    64'h5be0cd19137e2179,
    64'h1f83d9abfb41bd6b,
    64'h9b05688c2b3e6c1f,
    64'h510e527fade682d1
  };

  // Flags beside the beat. Index n: n + 1 cycles after the input.
  logic [9:0] valid_q, last_q;
  logic [8:0] first_q, half_q;
  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni ? {valid_q[8:0], valid_i} : '0;
    first_q <= {first_q[7:0], first_i};
    last_q <= {last_q[8:0], last_i};
    half_q <= {half_q[7:0], half_i};
  end

  // ---- four lanes: sums, masked sums, products ----
  logic [3:0][63:0] sum_q, product_q;
  for (genvar i = 0; i < 4; i++) begin : gen_lane
    logic [63:0] word0_q, word1_q, one_q, both_q, step1_q, step2_q;
    logic [63:0] masked0_q, masked1, product0, product1, added_q, earlier;

    // A half beat's second word is such that the second step changes nothing.
    always_ff @(posedge clk_i) begin
      word0_q <= beat_i[64*i+:64];
      word1_q <= half_i ? -Step : beat_i[UnitBits+64*i+:64];
      one_q <= word0_q;
      both_q <= word0_q + word1_q;
      step1_q <= one_q + Step;
      step2_q <= both_q + (Step << `MUT(47, 1, 0));
    end
    // The loop is one addition; the sum after the first word is beside it.
    assign earlier = first_q[2] ? Start[i] : sum_q[i];
    always_ff @(posedge clk_i) begin
      if (valid_q[2]) begin
        sum_q[i] <= earlier + step2_q;
        masked0_q <= (earlier + step1_q) ^ Mask[i];
      end
    end
    assign masked1 = sum_q[i] ^ Mask[i];
    mul32 u_first (
        .clk_i,
        .a_i(masked0_q[31:0]),
        .b_i(masked0_q[63:32]),
        .product_o(product0)
    );
    mul32 u_second (
        .clk_i,
        .a_i(masked1[31:0]),
        .b_i(masked1[63:32]),
        .product_o(product1)
    );
    always_ff @(posedge clk_i) begin
      added_q <= product0 + (`MUT(48, half_q[7], 1'b0) ? 64'd0 : product1);
      if (valid_q[8]) product_q[i] <= (first_q[8] ? 64'd0 : product_q[i]) + added_q;
    end
  end

  logic [39:0] bytes_q;
  always_ff @(posedge clk_i) begin
    if (valid_q[8]) bytes_q <= (first_q[8] ? 40'd0 : bytes_q) + (half_q[8] ? 40'd32 : 40'd64);
  end

  // ---- fold: nine products of 64 bits modulo 2^64, three of 32 x 32 each ----
  logic [7:0][63:0] words_q;
  logic [3:0] step_q;
  logic [1:0] part_q;  // low x low, high x low, low x high
  logic busy_q, part_end;
  logic [63:0] a, b;
  logic [31:0] a_q, b_q;

  typedef struct packed {
    logic valid;
    logic upper;     // counts in the upper half only
    logic fresh;     // the first of its half of the result
    logic sums_end;
    logic all_end;
  } fold_tag_t;
  fold_tag_t tag, tag_5;

  assign part_end = part_q == 2'd2;
  always_ff @(posedge clk_i) begin
    if (valid_q[3] && last_q[3]) words_q[3:0] <= sum_q;
    if (valid_q[9] && last_q[9]) begin
      for (int unsigned i = 0; i < 4; i++)
      words_q[4+i] <= product_q[i] ^ {32'd0, product_q[i][63:32]};
      busy_q <= 1'b1;
      step_q <= '0;
      part_q <= '0;
    end else if (busy_q) begin
      part_q <= part_end ? '0 : part_q + 2'd1;
      if (part_end) begin
        step_q <= step_q + 4'd1;
        if (step_q == 4'd8) busy_q <= 1'b0;
      end
    end
    if (!rst_ni) busy_q <= 1'b0;
  end

  always_comb begin
    a = words_q[step_q[2:0]];
    b = Factor[step_q[2:0]];
    if (step_q == 4'd8) begin
      a = 64'(bytes_q);
      b = BytesFactor;
    end
    tag = '{
        valid: busy_q,
        upper: part_q != '0,
        fresh: part_q == '0 && (step_q == '0 || step_q == 4'd4),
        sums_end: part_end && step_q == 4'd3,
        all_end: part_end && step_q == 4'd8
    };
  end
  always_ff @(posedge clk_i) begin
    a_q <= part_q == 2'd1 ? a[63:32] : a[31:0];
    b_q <= part_q == 2'd2 ? b[63:32] : b[31:0];
  end
  prim_delay #(
      .Width($bits(fold_tag_t)),
      .Cycles(5)
  ) u_tag (
      .clk_i,
      .data_i(rst_ni ? tag : '0),
      .data_o(tag_5)
  );

  logic [63:0] product, total_q;
  logic [31:0] low_q;
  logic sums_end_q, all_end_q;

  mul32 u_fold (
      .clk_i,
      .a_i(a_q),
      .b_i(b_q),
      .product_o(product)
  );
  always_ff @(posedge clk_i) begin
    if (tag_5.valid)
      total_q <= (tag_5.fresh ? 64'd0 : total_q) + (tag_5.upper ? {product[31:0], 32'd0} : product);
    sums_end_q <= tag_5.valid && tag_5.sums_end;
    all_end_q <= tag_5.valid && tag_5.all_end && rst_ni;
    if (sums_end_q) low_q <= total_q[63:32];
    valid_o <= all_end_q && rst_ni;
    if (all_end_q) sum_o <= {total_q[63:32], low_q};
  end
endmodule
