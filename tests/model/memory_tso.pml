/* SPDX-License-Identifier: Apache-2.0
 * memory_tso.pml - x86-TSO for this protocol: what each thread stores is seen in program order,
 * perhaps late.
 *
 * A store buffer is FIFO, so to others a thread that only stores just seems to run later. Lateness
 * shows only where a thread stores and then loads what others store: the writer after W1 (it loads
 * guards in W2) and a reader after 2 (it loads the entry in 3). So these two stores, and no others,
 * can stay in a buffer: index_late, guard_late. They reach memory by a full fence, before the
 * thread's next store, at its death, or at any moment by `drain`.
 */
byte memory[LOCATIONS];
bool index_late = false;
bool guard_late[READERS];

#define STORE_RELAXED(loc, val) memory[loc] = val
#define STORE_RELEASE(loc, val) memory[loc] = val
#define FENCE_RELEASE() skip
#define FENCE_FULL() \
  atomic { if :: index_late -> memory[INDEX(epoch, E_KEY)] = 0 :: else fi; index_late = false }
#define DIES() FENCE_FULL()
#define load_latest(loc, to) to = memory[loc]

active proctype drain() {
end:
  do
  :: atomic { index_late -> memory[INDEX(epoch, E_KEY)] = 0; index_late = false }
  :: atomic { guard_late[0] -> guard_late[0] = false }
#if READERS > 1
  :: atomic { guard_late[1] -> guard_late[1] = false }
#endif
#if READERS > 2
  :: atomic { guard_late[2] -> guard_late[2] = false }
#endif
  od
}
