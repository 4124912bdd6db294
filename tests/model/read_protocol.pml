/* SPDX-License-Identifier: Apache-2.0
 * read_protocol.pml - the read protocol of docs/protocol.md: one writer that is killed anywhere and
 * restarts, readers.
 *
 * Proves: a reader that returns returns words of one and the same complete write, of the key that
 * it asked for and of the gen that its entry named. Numbers in comments are the steps of
 * docs/protocol.md. Run by tests/model/run.
 *
 * Memory and readers: -DVIEWS (C++ model; reader_views.pml) or -DTSO (x86, three readers;
 * reader_tso.pml).
 * Bounds: PUTS writes into two slots under two keys, KILLS kills, an index of one entry per daemon.
 * A payload is two words; each is the number of the write that made it, so torn or foreign data
 * shows; so is the checksum.
 * Other defines in capitals are faults; tests/model/run seeds each and wants it found. No faults:
 *   NO_SUM         step 7 is left out: the gens alone must do
 *   INDEX_FORGED   readers start from any entry that could name a slot, published or not
 *   FLIP           the medium loses a word now and then: the checksum must see it
 *   WORKER         another thread stores the payload (views only; docs/protocol.md section 3)
 *   MOVES          an entry is written over by one for another slot, and perhaps back (near memory)
 *   GUARDS_HOLD    no guard expires: then a read whose guard passed step 3 must never be overtaken
 */
#ifndef PUTS
#define PUTS 3
#endif
#ifndef KILLS
#define KILLS 1
#endif
#define SLOTS 2
#define NONE 2        /* no slot */
#define JUNK 9        /* a word that the medium lost */
#define GEN_RESERVE 4 /* two gens at once */

/* locations: per daemon an index entry, then the slots */
#define SEQ 0
#define E_KEY 1
#define E_REF 2
#define E_GEN 3
#define INDEX(epoch_, field) ((epoch_) * 4 + (field))
#define GEN 0
#define KEY 1
#define SUM 2
#define D0 3
#define D1 4
#define SLOT(slot_, field) ((KILLS + 1) * 4 + (slot_) * 5 + (field))
#define LOCATIONS ((KILLS + 1) * 4 + SLOTS * 5)

byte epoch = 0;        /* which daemon; its index is a fresh file */
byte kills_left = KILLS;
bool writer_done = false;
byte gen_reserved = 2; /* in the pool file */

/* the truth about each write, for the assertion only */
byte writes = 0;
byte write_key[JUNK + 1], write_gen[JUNK + 1];
bool write_complete[JUNK + 1];

#ifdef VIEWS
#define READERS 1
#include "memory_views.pml"
#else
#ifndef READERS
#define READERS 3
#endif
#include "memory_tso.pml"
#endif

/* as the session's memory shows them */
byte guard_ref[READERS], guard_gen[READERS], guard_epoch[READERS];

/* One store, and the daemon may be killed after it. */
#define DO(store) \
  atomic { store; if :: kills_left > 0 -> kills_left--; goto dead :: true fi }

#ifdef VIEWS
#define BUCKET_OPEN DO(STORE_RELAXED(INDEX(epoch, SEQ), seq + 1)); FENCE_RELEASE()
#define BUCKET_CLOSE seq = seq + 2; DO(STORE_RELEASE(INDEX(epoch, SEQ), seq))
#define UNPUBLISH BUCKET_OPEN; DO(STORE_RELAXED(INDEX(epoch, E_KEY), 0)); BUCKET_CLOSE
#define PUBLISH(slot_, key_, gen_) \
  BUCKET_OPEN; \
  DO(STORE_RELAXED(INDEX(epoch, E_KEY), key_)); \
  DO(STORE_RELAXED(INDEX(epoch, E_REF), slot_)); \
  DO(STORE_RELAXED(INDEX(epoch, E_GEN), gen_)); \
  BUCKET_CLOSE
#else
/* Entries change as a whole by 4.3, which the other memory model checks word by word. */
#define UNPUBLISH DO(index_late = true)
#define PUBLISH(slot_, key_, gen_) DO(d_step { \
  memory[INDEX(epoch, E_KEY)] = key_; memory[INDEX(epoch, E_REF)] = slot_; \
  memory[INDEX(epoch, E_GEN)] = gen_ })
#endif
/* One entry written over by another of its key. Of two such stores the first has arrived before the
 * second is made: later it could only be seen less. */
#ifdef VIEWS
#define REPLACE(slot_, key_, gen_) PUBLISH(slot_, key_, gen_)
#else
#define REPLACE(slot_, key_, gen_) \
  FENCE_FULL(); \
  DO(d_step { moved_ref = slot_; moved_gen = gen_; index_late = true })
#endif

/* W2: is the slot's version named by a fresh guard of a session of this daemon? */
#ifdef VIEWS
/* No proof needs them: any answer is tried. */
#define LOOK_AT_GUARDS(slot_) if :: guarded = true :: guarded = false fi
#else
#define GUARDED_BY(reader_, slot_) \
  (!guard_late[reader_] && guard_gen[reader_] != 0 && guard_gen[reader_] == slot_gen[slot_] && \
   guard_ref[reader_] == slot_ && guard_epoch[reader_] == epoch)
#if READERS > 2
#define GUARDED(slot_) (GUARDED_BY(0, slot_) || GUARDED_BY(1, slot_) || GUARDED_BY(2, slot_))
#else
#define GUARDED(slot_) GUARDED_BY(0, slot_)
#endif
#ifdef GUARDS_HOLD
#define LOOK_AT_GUARDS(slot_) d_step { guarded = GUARDED(slot_) }
#else
/* A guard may be older than 2 s: ignored. */
#define LOOK_AT_GUARDS(slot_) \
  if :: guarded = false :: d_step { GUARDED(slot_) -> guarded = true } fi
#endif
#endif

/* W3 */
#ifdef NO_ODD
#define FREE(slot_) slot_gen[slot_] = slot_gen[slot_] | 1
#else
#define STORE_ODD(slot_) d_step { slot_gen[slot_] = slot_gen[slot_] | 1 }; \
  DO(STORE_RELAXED(SLOT(slot_, GEN), slot_gen[slot_]))
#ifdef NO_FENCE_AFTER_ODD
#define FREE(slot_) STORE_ODD(slot_)
#else
#define FREE(slot_) STORE_ODD(slot_); FENCE_RELEASE()
#endif
#endif

/* The next gen; reserves first (docs/protocol.md section 5). */
inline take_gen() {
  d_step {
    if :: next_gen >= gen_reserved -> gen_reserved = next_gen + GEN_RESERVE :: else fi;
    gen = next_gen;
    next_gen = next_gen + 2;
    writes++;
    write_key[writes] = key;
    write_gen[writes] = gen;
    slot_gen[to] = gen;
  }
}

/* W4 in two halves, W5 */
#ifdef WORKER
#define STORE_FIRST_WORDS \
  JOB_BEGINS(); FENCE_WORKER(); DO(STORE_WORKER(SLOT(to, D0), writes)); \
  DO(STORE_WORKER(SLOT(to, D1), writes))
#define STORE_LAST_WORDS \
  FENCE_RELEASE(); DO(STORE_RELAXED(SLOT(to, KEY), key)); \
  DO(STORE_RELAXED(SLOT(to, SUM), writes); write_complete[writes] = true)
#else
#define STORE_FIRST_WORDS \
  DO(STORE_RELAXED(SLOT(to, KEY), key)); DO(STORE_RELAXED(SLOT(to, D0), writes))
#define STORE_LAST_WORDS \
  DO(STORE_RELAXED(SLOT(to, D1), writes)); \
  DO(STORE_RELAXED(SLOT(to, SUM), writes); write_complete[writes] = true)
#endif
#ifdef WORKER
#define STORE_EVEN DO(STORE_RELEASE_AFTER_JOB(SLOT(to, GEN), gen))
#elif defined EVEN_RELAXED
#define STORE_EVEN DO(STORE_RELAXED(SLOT(to, GEN), gen))
#else
#define STORE_EVEN DO(STORE_RELEASE(SLOT(to, GEN), gen))
#endif

inline medium_loses_a_word() {
#ifdef FLIP
  if
  :: published != NONE && !flipped -> flipped = true; STORE_RELAXED(SLOT(published, D0), JUNK)
  :: true
  fi;
#endif
  skip
}

active proctype daemon() {
  byte published = NONE, to, key, gen, next_gen = 2, seq, at;
#ifdef MOVES
  byte left;
#endif
  byte slot_gen[SLOTS];
  bool guarded, limbo[SLOTS], flipped;

  goto serve;

dead: /* kill -9, then another daemon: S1 .. S5 */
  DIES();
  d_step {
    epoch++;
    seq = 0; published = NONE; limbo[0] = false; limbo[1] = false; guarded = false;
#ifdef GEN_RESET
    next_gen = 2;
#else
#ifdef GEN_FROM_SLOTS
    next_gen = 2;
#else
    next_gen = gen_reserved;
#endif
#endif
    to = 0;
  }
  do
  :: to < SLOTS ->
     atomic {
       load_latest(SLOT(to, GEN), gen);
       load_latest(SLOT(to, KEY), key);
       slot_gen[to] = gen;
#ifdef GEN_FROM_SLOTS
       if :: gen % 2 == 0 && gen >= next_gen -> next_gen = gen + 2 :: else fi
#endif
     };
     if
#ifdef RESTORE_ODD
     :: gen != 0 && published == NONE ->
#else
     :: gen != 0 && gen % 2 == 0 && published == NONE ->
#endif
        published = to;
        PUBLISH(to, key, gen)
     :: gen != 0 && gen % 2 == 0 -> FREE(to) /* the index has one place: evicted at once */
     :: else
     fi;
     to++
  :: else -> break
  od;
#ifndef NO_FENCE_AT_RESTART
  FENCE_RELEASE(); /* S5: the old daemon's stores, its odd gens above all, come before this one's */
#endif

serve:
  do
  :: writes < PUTS ->
     medium_loses_a_word();
     if
     :: published != NONE ->
        UNPUBLISH; /* W1 */
#ifndef NO_FENCE_WRITER
        FENCE_FULL(); /* W2 */
#endif
        LOOK_AT_GUARDS(published);
        FENCE_FULL(); /* x86: before the next store */
        if
        :: guarded -> limbo[published] = true
        :: else -> FREE(published) /* W3 */
        fi;
        published = NONE
     :: else
     fi;
     /* A free slot, or one in limbo whose guards are gone. All are alike: the first write
        need not choose. */
     if
     :: to = 0
     :: writes > 0 -> to = 1
     fi;
     if
     :: limbo[to] ->
        LOOK_AT_GUARDS(to);
        if
        :: guarded -> goto stopped
        :: else -> limbo[to] = false; FREE(to)
        fi
     :: else
     fi;
     atomic {
       if
       :: key = 1
       :: writes > 0 -> key = 2
       fi;
       take_gen()
     };
#ifdef PUBLISHED_TOO_EARLY
     STORE_FIRST_WORDS; STORE_EVEN; published = to; PUBLISH(to, key, gen); STORE_LAST_WORDS
#else
     STORE_FIRST_WORDS; STORE_LAST_WORDS; /* W4 */
     STORE_EVEN;                          /* W5 */
     published = to;
     PUBLISH(to, key, gen)                /* W6 */
#endif
#ifdef MOVES
  :: published != NONE && writes < PUTS && !limbo[1 - published] ->
     left = published; to = 1 - left;
     atomic { load_latest(SLOT(left, KEY), key); take_gen() };
     STORE_FIRST_WORDS; STORE_LAST_WORDS; /* W4 */
     STORE_EVEN;                          /* W5 */
     published = to;
     REPLACE(to, key, gen); /* W1 of the slot that is left, W6 of this one */
     if
     :: published = left; REPLACE(left, key, slot_gen[left]); left = to /* and back */
     :: true
     fi;
#ifndef NO_FENCE_AFTER_MOVE
     FENCE_FULL(); /* W2 */
#endif
     LOOK_AT_GUARDS(left);
     FENCE_FULL();
     if
     :: guarded -> limbo[left] = true
     :: else -> FREE(left) /* W3 */
     fi;
     left = 0
#endif
  :: else -> break
  :: writes > 0 -> break
  od;
stopped:
  medium_loses_a_word();
  d_step {
    writer_done = true;
    published = NONE; to = 0; key = 0; gen = 0; seq = 0; at = 0; guarded = false; next_gen = 0;
    limbo[0] = false; limbo[1] = false; slot_gen[0] = 0; slot_gen[1] = 0
  }
}

/* What every reader that returns must be able to say. */
inline returns(asked_, gen_, word0_, word1_) {
  assert(word0_ == word1_ && word0_ != 0 && word0_ != JUNK); /* one write */
  assert(write_key[word0_] == asked_);                       /* of the key */
  assert(write_gen[word0_] == gen_);                         /* of the gen */
  assert(write_complete[word0_]);
}

#define MISS goto missed
#define SUM_MATCHES \
  (word0 == header_sum && word1 == header_sum && write_key[header_sum] == header_key)

#ifdef VIEWS
#include "reader_views.pml"
#else
#include "reader_tso.pml"
#endif
