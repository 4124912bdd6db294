// SPDX-License-Identifier: Apache-2.0
// engine_tables - which tables of table memory are whole, and the one way in which lanes' writes
// reach all lanes.
//
// A table counts from its last beat on, if none of them was read with an error, and no longer from
// its first beat on: so one that was loaded by half never counts. Latency of a write 1 cycle; one
// lane loads at a time. Survives the engine's own reset (rst_ni here is power-on).
`include "speckv_check.svh"

module engine_tables
  import engine_pkg::*;
#(
    parameter int unsigned Lanes = 1
) (
    input  logic                     clk_i,
    input  logic                     rst_ni,
    input  table_write_t [Lanes-1:0] write_i,
    output table_write_t             write_o,
    output table_state_t             state_o
);
  localparam int unsigned TurnBits = $clog2(TurnBeats);
  localparam int unsigned SlotBits = $clog2(WidthSlots);

  table_write_t write;
  logic turns;
  logic [Lanes-1:0] valid;

  always_comb begin
    write = write_i[0];
    for (int unsigned i = 0; i < Lanes; i++) begin
      valid[i] = write_i[i].valid;
      if (valid[i]) write = write_i[i];
    end
  end
  assign turns = write.addr < TableAddrBits'(2 * TurnBeats);

  always_ff @(posedge clk_i) begin
    write_o <= write;
    if (write.valid && turns) begin
      if (write.addr[TurnBits-1:0] == `MUT(111, '0, '1))
        state_o.turns[write.addr[TurnBits]] <= 1'b0;
      if (write.addr[TurnBits-1:0] == '1)
        state_o.turns[write.addr[TurnBits]] <= `MUT(110, !write.error, 1'b1);
    end
    if (write.valid && !turns)
      state_o.widths[write.addr[SlotBits:1]] <= write.addr[0] && !write.error;
    if (!rst_ni) begin
      state_o <= '0;
      write_o.valid <= 1'b0;
    end
  end

  `SPECKV_ASSERT(TablesOneLoads, (valid & (valid - 1'b1)) == '0)
endmodule
