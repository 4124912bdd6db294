/* SPDX-License-Identifier: Apache-2.0
 * reader_views.pml - steps 1 and 4 to 7 under the C++ memory model.
 *
 * Steps 2 and 3 are left out: they only take behaviours away. One get from a thread that knows
 * nothing yet; a thread that has read before knows more and can do less, and readers do not meet
 * each other but in guards.
 */

#ifdef INDEX_FORGED
/* Any entry that could name a slot at all, published or not. */
inline copy_entry() {
  if :: key = 1 :: key = 2 fi;
  if :: ref = 0 :: ref = 1 fi;
  at = 1;
  do :: at < writes -> at++ :: true -> break od;
  gen = write_gen[at];
  at = 0;
}
#else
/* 1: the entry of the index that this reader has mapped, word by word under its sequence. */
inline copy_entry() {
  LOAD_ACQUIRE(INDEX(map, SEQ), first);
  if :: first % 2 == 1 -> MISS :: else fi;
  LOAD_RELAXED(INDEX(map, E_KEY), key);
  if :: key == 0 -> MISS :: else fi;
  LOAD_RELAXED(INDEX(map, E_REF), ref);
  LOAD_RELAXED(INDEX(map, E_GEN), gen);
#ifndef NO_FENCE_IN_BUCKET
  FENCE_ACQUIRE();
#endif
  LOAD_RELAXED(INDEX(map, SEQ), last);
  if :: first != last -> MISS :: else fi;
}
#endif

active proctype reader() {
  byte at, later, floor_, pending, seen[LOCATIONS];
  byte map, asked, first, last, key, ref, gen;
  byte header_gen, header_key, header_sum, word0, word1;

  (writer_done && writes > 0);
  atomic {
    if :: map = epoch :: epoch > 0 -> map = epoch - 1 fi; /* this daemon's, or one's that died */
    copy_entry();  /* 1 */
    asked = key;                               /* who asks for another key misses here */
#ifdef GEN_RELAXED
    LOAD_RELAXED(SLOT(ref, GEN), header_gen);  /* 4 */
#else
    LOAD_ACQUIRE(SLOT(ref, GEN), header_gen);
#endif
    if :: header_gen != gen || gen == 0 -> MISS :: else fi;
    LOAD_RELAXED(SLOT(ref, KEY), header_key);
#ifndef SKIP_KEY
    if :: header_key != asked -> MISS :: else fi;
#endif
    LOAD_RELAXED(SLOT(ref, SUM), header_sum);
    LOAD_RELAXED(SLOT(ref, D0), word0);        /* 5 */
    LOAD_RELAXED(SLOT(ref, D1), word1);
#ifndef SKIP_6
#ifndef NO_FENCE_BEFORE_6
    FENCE_ACQUIRE();                           /* 6 */
#endif
    LOAD_RELAXED(SLOT(ref, GEN), header_gen);
    if :: header_gen != gen -> MISS :: else fi;
#endif
#ifndef NO_SUM
    if :: !SUM_MATCHES -> MISS :: else fi;     /* 7 */
#endif
    returns(asked, gen, word0, word1);
missed:
    skip
  }
}
