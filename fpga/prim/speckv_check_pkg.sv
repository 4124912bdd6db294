// SPDX-License-Identifier: Apache-2.0
// speckv_check_pkg - what a bench sees of assertions and mutants. Simulation only.
//
// mutant: the number of the seeded fault that is switched on (speckv_check.svh), 0: none; a bench
// writes it before its first clock. failures: how many assertions have failed; a bench reads it.
package speckv_check_pkg;
  int unsigned mutant  /* verilator public_flat_rw */ = 0;
  int unsigned failures  /* verilator public_flat_rd */ = 0;

  function automatic void fail(input string name);
    if (failures < 10) $display("assertion %s", name);
    failures = failures + 1;
  endfunction
endpackage
