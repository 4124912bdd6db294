/* SPDX-License-Identifier: Apache-2.0
 * reader_tso.pml - steps 1 to 7 on x86, by several readers whose guards the writer looks at.
 *
 * Readers are alike, so they may start in the order of their numbers (whatever they do, they can be
 * renumbered so).
 */
#define FIRST_READER 2 /* _pid; before it: drain, daemon */
bool started[READERS];

/* 1 and 3 copy a whole entry at once by 4.3, which the other memory model checks word by word. */
active [READERS] proctype reader() {
  byte me, map, key, ref, gen, header_key, header_sum, word0, word1;

  atomic {
    (_pid == FIRST_READER || started[_pid - FIRST_READER - 1]) -> me = _pid - FIRST_READER;
    started[me] = true;
    if :: map = epoch :: epoch > 0 -> map = epoch - 1 fi; /* this daemon's, or one's that died */
    key = memory[INDEX(map, E_KEY)];  /* 1 */
    if :: key == 0 -> MISS :: else fi;
    ref = memory[INDEX(map, E_REF)];
    gen = memory[INDEX(map, E_GEN)];
    guard_ref[me] = ref; guard_gen[me] = gen; guard_epoch[me] = map; /* 2 */
    guard_late[me] = true
  }
#ifndef NO_FENCE_READER
  guard_late[me] = false;
#endif
#ifndef SKIP_3
  if  /* 3 */
  :: memory[INDEX(map, E_KEY)] == key && memory[INDEX(map, E_REF)] == ref &&
     memory[INDEX(map, E_GEN)] == gen
  :: else -> MISS
  fi;
#endif
  atomic {
    if :: memory[SLOT(ref, GEN)] == gen && gen != 0 :: else -> MISS fi;  /* 4 */
    header_key = memory[SLOT(ref, KEY)];
    header_sum = memory[SLOT(ref, SUM)]
  };
#ifndef SKIP_KEY
  if :: header_key == key :: else -> MISS fi;
#endif
  word0 = memory[SLOT(ref, D0)];  /* 5 */
  word1 = memory[SLOT(ref, D1)];
  atomic {
#ifdef GUARDS_HOLD
    assert(memory[SLOT(ref, GEN)] == gen);
#endif
#ifndef TRUST_GUARD
    if :: memory[SLOT(ref, GEN)] == gen :: else -> MISS fi;  /* 6 */
#endif
#ifndef NO_SUM
    if :: SUM_MATCHES :: else -> MISS fi;  /* 7 */
#endif
    returns(key, gen, word0, word1)
  };
missed:
  atomic {
    guard_gen[me] = 0; guard_ref[me] = 0; guard_epoch[me] = 0; guard_late[me] = false;
    me = 0; map = 0; key = 0; ref = 0; gen = 0; header_key = 0; header_sum = 0; word0 = 0; word1 = 0
  }
}
