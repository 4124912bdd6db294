// SPDX-License-Identifier: Apache-2.0
// engine_interrupt - asks for a queue pair's MSI-X vector when enough completions were written, or
// the first of them is old enough.
//
// One request at a time, the queues in turn; it stands until msix_ready_i. A completion that comes
// while one stands counts for the next.
`include "speckv_check.svh"

module engine_interrupt
  import engine_pkg::*;
(
    input  logic                    clk_i,
    input  logic                    rst_ni,
    input  queue_cfg_t [Queues-1:0] queues_i,
    input  logic       [Queues-1:0] completed_i,
    input  logic       [       7:0] completions_i,  // 0 counts as 1
    input  logic       [      23:0] cycles_i,       // 0: no limit
    output logic                    msix_valid_o,
    input  logic                    msix_ready_i,
    output logic       [       7:0] msix_vector_o
);
  logic [Queues-1:0][15:0] count_q;
  logic [Queues-1:0][23:0] age_q;
  logic [Queues-1:0] due, grant, ask;
  logic [15:0] enough;
  logic [ 7:0] vector;

  assign enough = completions_i == '0 ? 16'd1 : 16'(completions_i);
  always_comb begin
    for (int unsigned i = 0; i < Queues; i++)
    due[i] = count_q[i] >= enough || (count_q[i] != '0 && cycles_i != '0 && age_q[i] >= cycles_i);
  end
  prim_arbiter #(
      .Ports(Queues)
  ) u_arbiter (
      .clk_i,
      .rst_ni,
      .request_i(due),
      .take_i(!msix_valid_o),
      .grant_o(grant)
  );
  assign ask = msix_valid_o ? '0 : grant;
  always_comb begin
    vector = '0;
    for (int unsigned i = 0; i < Queues; i++) if (grant[i]) vector = queues_i[i].vector;
  end

  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < Queues; i++) begin
      if (ask[i]) count_q[i] <= 16'(completed_i[i]);
      else if (completed_i[i] && count_q[i] != '1) count_q[i] <= count_q[i] + 16'd1;
      if (ask[i] || count_q[i] == '0) age_q[i] <= '0;
      else if (age_q[i] != '1) age_q[i] <= age_q[i] + 24'd1;
    end
    if (ask != '0) begin
      msix_valid_o <= 1'b1;
      msix_vector_o <= vector;
    end else if (msix_ready_i) msix_valid_o <= 1'b0;
    if (!rst_ni) begin
      count_q <= '0;
      age_q <= '0;
      msix_valid_o <= 1'b0;
    end
  end

  logic unused_cfg;
  assign unused_cfg = ^queues_i;

  `SPECKV_PAST
  `SPECKV_ASSERT(InterruptHeld, `SPECKV_NEXT(msix_valid_o && !msix_ready_i,
                                             msix_valid_o && msix_vector_o == $past(msix_vector_o)))
endmodule
