// SPDX-License-Identifier: Apache-2.0
// mul32 - unsigned 32 x 32 in four DSP blocks. Latency 4 cycles, one product a cycle, never stalls.
module mul32 (
    input  logic        clk_i,
    input  logic [31:0] a_i,
    input  logic [31:0] b_i,
    output logic [63:0] product_o
);
  logic signed [35:0] part[4];
  logic [31:0] low_q, high_q;
  logic [32:0] middle_q;

  for (genvar i = 0; i < 4; i++) begin : gen_part
    prim_mul18 u_mul (
        .clk_i,
        .a_i({2'd0, a_i[16*(i/2)+:16]}),
        .b_i({2'd0, b_i[16*(i%2)+:16]}),
        .product_o(part[i])
    );
    logic unused_sign;
    assign unused_sign = ^part[i][35:32];
  end
  always_ff @(posedge clk_i) begin
    low_q <= part[0][31:0];
    high_q <= part[3][31:0];
    middle_q <= 33'(part[1][31:0]) + 33'(part[2][31:0]);
    product_o <= {high_q, low_q} + {15'd0, middle_q, 16'd0};
  end
endmodule
