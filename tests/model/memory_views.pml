/* SPDX-License-Identifier: Apache-2.0
 * memory_views.pml - the C++ memory model (without load buffering) for one writer, as views over a
 * log of stores.
 *
 * Every store stays in the log. A relaxed load of x may return any store to x but one that is older
 * than what the thread already knows of x. What a thread knows is `floor_`: it knows all stores up
 * to that place of the log (there is one writer, so one number is a whole view), and at least the
 * store that it last saw of each location. A store carries the writer's view: of its last release
 * fence when relaxed, of now when release. An acquire load, or an acquire fence after relaxed
 * loads, raises the floor to what the seen stores carried. Since stores never vanish and a late
 * reader may still return old ones, a reader that runs after the writer can do all that a
 * concurrent one can: the reader waits for the writer's end, and the state space is a sum, no
 * product.
 */
#define LOG_MAX 70

byte log_loc[LOG_MAX], log_val[LOG_MAX], log_view[LOG_MAX];
byte log_count = 1;      /* place 0: the zeros that all locations start with */
byte fence_view = 0;     /* of the writer's last release fence */

/* ---- the writer's side ---- */
#define STORE_RELAXED(loc, val) append(loc, val, fence_view)
#define STORE_RELEASE(loc, val) append(loc, val, log_count)
#define FENCE_RELEASE() fence_view = log_count - 1
#define FENCE_FULL() fence_view = log_count - 1
/* An encode worker is another thread. What it is handed it knows from then on; its stores carry the
 * view of its own last release fence. */
byte worker_view = 0; /* of that fence */
byte job_view = 0;    /* of the data thread, when it handed the job over */
#define JOB_BEGINS() job_view = log_count
#ifdef NO_FENCE_WORKER
#define FENCE_WORKER() skip
#else
#define FENCE_WORKER() worker_view = log_count - 1
#endif
#define STORE_WORKER(loc, val) append(loc, val, worker_view)
#ifdef JOB_NOT_ACQUIRED
#define STORE_RELEASE_AFTER_JOB(loc, val) append(loc, val, job_view)
#else
#define STORE_RELEASE_AFTER_JOB(loc, val) append(loc, val, log_count)
#endif
/* the next daemon's threads have fenced nothing yet */
#define DIES() fence_view = 0; worker_view = 0; job_view = 0

inline append(loc_, val_, view_) {
  d_step {
    assert(log_count < LOG_MAX);
    log_loc[log_count] = loc_;
    log_val[log_count] = val_;
    log_view[log_count] = view_;
    log_count++;
  }
}

/* The last store: what the file holds. The kernel orders a new daemon after the old one's end. */
inline load_latest(loc_, to_) {
  d_step {
    at = log_count - 1;
    do
    :: at > 0 && log_loc[at] != loc_ -> at--
    :: else -> break
    od;
    to_ = (at == 0 -> 0 : log_val[at]);
    at = 0;
  }
}

/* ---- a reader's side: needs locals at, floor_, pending, seen[LOCATIONS] ---- */
#define LOAD_RELAXED(loc, to) \
  look(loc, to); if :: log_view[at] > pending -> pending = log_view[at] :: else fi; at = 0
#define LOAD_ACQUIRE(loc, to) \
  look(loc, to); if :: log_view[at] > pending -> pending = log_view[at] :: else fi; \
  if :: log_view[at] > floor_ -> floor_ = log_view[at] :: else fi; at = 0
#define FENCE_ACQUIRE() if :: pending > floor_ -> floor_ = pending :: else fi

inline look(loc_, to_) {
  /* the oldest store that may still be returned */
  d_step {
    at = (floor_ > seen[loc_] -> floor_ : seen[loc_]);
    do
    :: at > 0 && log_loc[at] != loc_ -> at--
    :: else -> break
    od;
    later = 0;
  }
  /* it or any later one */
  do
  :: break
  :: next_of(loc_, later); if :: later == 0 -> break :: else -> at = later fi
  od;
  later = 0;
  d_step { seen[loc_] = at; to_ = (at == 0 -> 0 : log_val[at]) }
}

/* Place of the next store to loc_ after `at`, or 0. */
inline next_of(loc_, ret_) {
  d_step {
    ret_ = at + 1;
    do
    :: ret_ < log_count && log_loc[ret_] != loc_ -> ret_++
    :: else -> break
    od;
    if :: ret_ >= log_count -> ret_ = 0 :: else fi;
  }
}
