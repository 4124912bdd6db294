/* SPDX-License-Identifier: Apache-2.0
 * memory_tso.pml - x86-TSO for this protocol: what each thread stores is seen in program order,
 * perhaps late.
 *
 * A store buffer is FIFO, so to others a thread that only stores just seems to run later. Lateness
 * shows only where a thread stores and then loads what others store: the writer after W1, also
 * where that writes over an entry (it loads guards in W2), and a reader after 2 (it loads the entry
 * in 3). So these stores, and no others, can stay in a buffer: index_late, guard_late. They reach
 * memory by a full fence, before the thread's next store, at its death, or at any moment by
 * `drain`.
 */
byte memory[LOCATIONS];
bool index_late = false;
byte moved_ref = 0, moved_gen = 0; /* index_late: what the entry becomes; gen 0: no entry */
bool guard_late[READERS];

#define STORE_RELAXED(loc, val) memory[loc] = val
#define STORE_RELEASE(loc, val) memory[loc] = val
#define FENCE_RELEASE() skip
#define INDEX_ARRIVES \
  if \
  :: moved_gen != 0 -> \
     memory[INDEX(epoch, E_REF)] = moved_ref; memory[INDEX(epoch, E_GEN)] = moved_gen \
  :: else -> memory[INDEX(epoch, E_KEY)] = 0 \
  fi; \
  index_late = false; moved_ref = 0; moved_gen = 0
#define FENCE_FULL() atomic { if :: index_late -> INDEX_ARRIVES :: else fi }
#define DIES() FENCE_FULL()
#define load_latest(loc, to) to = memory[loc]

active proctype drain() {
end:
  do
  :: atomic { index_late -> INDEX_ARRIVES }
  :: atomic { guard_late[0] -> guard_late[0] = false }
#if READERS > 1
  :: atomic { guard_late[1] -> guard_late[1] = false }
#endif
#if READERS > 2
  :: atomic { guard_late[2] -> guard_late[2] = false }
#endif
  od
}
