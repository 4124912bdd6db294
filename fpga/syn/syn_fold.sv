// SPDX-License-Identifier: Apache-2.0
// syn_fold - Width bits to one, by registered exclusive ors of four: the way out of a module that
// is placed alone, so that nothing of it is optimised away and no pin is in a path.
module syn_fold #(
    parameter int unsigned Width = 64
) (
    input  logic             clk_i,
    input  logic [Width-1:0] data_i,
    output logic             bit_o
);
  localparam int unsigned Quarter = (Width + 3) / 4;

  if (Width == 1) begin : gen_end
    always_ff @(posedge clk_i) bit_o <= data_i[0];
  end else begin : gen_fold
    logic [Width-1:0] data_q;
    logic [Quarter-1:0] folded_q;
    always_ff @(posedge clk_i) begin
      data_q <= data_i;
      for (int unsigned i = 0; i < Quarter; i++) begin
        logic sum;
        sum = 1'b0;
        for (int unsigned j = 4 * i; j < 4 * i + 4; j++) if (j < Width) sum ^= data_q[j];
        folded_q[i] <= sum;
      end
    end
    syn_fold #(.Width(Quarter)) u_rest (.clk_i, .data_i(folded_q), .bit_o);
  end
endmodule
