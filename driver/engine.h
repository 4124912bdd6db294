/* SPDX-License-Identifier: GPL-2.0 */
/*
 * engine.h - the PCI side: a codec engine, its queue pairs, what memory it was lent, and their
 * locking.
 *
 * Objects. An engine (struct speckv_engine) is one PCI function that is bound, or was while a
 * control file still has it. A job is a command under way; its place is the tag that ring.c gave
 * it. A lend is one entry of the device's extent table: a window of an extent that one control file
 * holds, or the rings. User space names extents; an address goes from here to the device alone.
 *
 * Locking: region->lock, then engine->lock (a spinlock; all of the engine that is not said to be
 * otherwise). Nobody sleeps or copies from user space under engine->lock. What waits for a place,
 * for a reset or for the end of a lend waits on engine->wait, with no lock.
 *
 * Lends. Made by a file's first command on a window, with region->lock held: so the file holds the
 * extent. Ended when the file loses its hold (speckv_lend_end(), under the same lock): from
 * then on no command gets it, and the device's entry is invalid. Its memory is off limits for
 * longer: until no command that has it is under way, and the device has read that the entry is
 * invalid. Until then extent->lent keeps the extent's granules in quarantine. A command whose
 * deadline has passed is under way until the engine has answered a reset.
 *
 * States: speckv_engine_enter() is the one transition. LIVE takes commands. RESETTING belongs to
 * whoever entered it: the reset work, or the core's reset (core_reset); it ends in LIVE or DEAD.
 * DEAD is for good; whether the device can still write is `is_off`.
 */
#ifndef SPECKV_ENGINE_OBJECTS_H
#define SPECKV_ENGINE_OBJECTS_H

#include <hw/speckv_regs.h>
#include <linux/pci.h>

#include "cmd_check.h"
#include "ring.h"
#include "speckv.h"
#include "state.h"

#define SPECKV_QUEUES SPECKV_REG_QUEUES_COUNT
#define SPECKV_LENDS SPECKV_REG_EXTENTS_COUNT
#define SPECKV_LAYOUTS SPECKV_REG_LAYOUTS_COUNT
#define SPECKV_THETAS 2 /* that have a place in table memory */
#define SPECKV_ENGINES_MAX 64
#define SPECKV_RING_BYTES (SPECKV_RING_SLOTS * SPECKV_ENGINE_SLOT_BYTES)
#define SPECKV_RESET_MS 1000	     /* in which an engine answers a reset, or is given up */
#define SPECKV_INTERRUPT_CYCLES 4096 /* of the engine, that a completion waits for others */
#define SPECKV_WATCH_MS 20	     /* between two looks at deadlines */
#define SPECKV_NO_LEND 0xff
#define SPECKV_NO_LAYOUT 0xff

enum speckv_lend_state {
	SPECKV_LEND_FREE,
	SPECKV_LEND_RINGS, /* of the queue pair of the same number, for as long as we are bound */
	SPECKV_LEND_ACTIVE,
	SPECKV_LEND_ENDING, /* no command gets it any more */
};

/**
 * struct speckv_lend - one entry of the device's extent table
 * @state: enum speckv_lend_state
 * @busy: commands that have it
 * @used: when it was last asked for, in commands
 * @file: whose; for comparing only
 * @extent: of which it is a window; extent->lent counts it
 * @region: a reference
 * @handle: the extent's
 * @window: which
 * @dma: bus address
 * @bytes: length
 * @extent_bytes: of the whole extent
 * @memory: where the kernel sees it
 */
struct speckv_lend {
	enum speckv_lend_state state;
	u32 busy;
	u64 used;
	struct speckv_file *file;
	struct speckv_extent *extent;
	struct speckv_region *region;
	u64 handle;
	u32 window;
	dma_addr_t dma;
	u64 bytes;
	u64 extent_bytes;
	void *memory;
};

/**
 * struct speckv_job - a command under way
 * @cmd: what was asked; results are filled in
 * @deadline: in jiffies
 * @file: whose; for comparing only; NULL once that was closed
 * @tell: tells who waits how it ended: 0 and the results in @cmd, or an error. Called with
 *	engine->lock held. NULL: nobody waits any more
 * @whom: for @tell
 * @source: lend that it reads, or SPECKV_NO_LEND
 * @target: lend that it writes, likewise
 * @layout: slot of the layout table, or SPECKV_NO_LAYOUT
 * @target_bytes: most that it can write
 * @done_bytes: what it writes, if all is well
 */
struct speckv_job {
	struct speckv_cmd cmd;
	unsigned long deadline;
	struct speckv_file *file;
	void (*tell)(struct speckv_job *job, int result);
	void *whom;
	u8 source;
	u8 target;
	u8 layout;
	u64 target_bytes;
	u32 done_bytes;
};

/**
 * struct speckv_layout - one slot of the device's layout table
 * @words: what is in it
 * @is_set: it was ever written
 * @busy: commands that name it
 * @used: when it was last asked for
 */
struct speckv_layout {
	struct speckv_layout_words words;
	bool is_set;
	u32 busy;
	u64 used;
};

/**
 * struct speckv_queue - one queue pair
 * @engine: whose
 * @number: its number at the device, and its MSI-X vector
 * @ring: indices and tags
 * @descriptors: submission ring
 * @completions: completion ring, behind it
 * @irq: Linux's number of its interrupt
 * @interrupts: how many came
 * @jobs: by tag
 */
struct speckv_queue {
	struct speckv_engine *engine;
	u32 number;
	struct speckv_ring ring;
	struct speckv_engine_descriptor *descriptors;
	struct speckv_engine_completion *completions;
	int irq;
	u64 interrupts;
	struct speckv_job jobs[SPECKV_RING_SLOTS];
};

/**
 * struct speckv_counters - what happened so far; in sysfs
 * @commands: that ended at the engine
 * @errors: of them with another status than OK
 * @refused: calls that the driver refused
 * @timeouts: commands that missed their deadline
 * @missed: times that something had completed, and no interrupt had told of it yet
 * @lies: completions that were not believed
 * @resets: of the function that the engine answered
 * @flushed: bytes written back from, and dropped out of, the CPU's caches
 */
struct speckv_counters {
	u64 commands;
	u64 errors;
	u64 refused;
	u64 timeouts;
	u64 missed;
	u64 lies;
	u64 resets;
	atomic64_t flushed;
};

/**
 * struct speckv_engine - one engine
 * @ref: the binding, and each file that has it
 * @rcu: readers of speckv_file.engine
 * @pdev: a reference
 * @bar: its registers
 * @number: the Nth engine
 * @lock: see above
 * @state: enum speckv_engine_state
 * @is_off: the device cannot reach memory any more
 * @core_reset: the PCI core resets it; the reset work keeps away
 * @caps: what it takes
 * @clock: counts submissions, for the order of use of lends and layouts
 * @lends: extent table
 * @layouts: layout table
 * @theta_owner: which file loaded a theta; for comparing only
 * @widths_owner: likewise of slots of widths
 * @queues: queue pairs
 * @counters: see there
 * @in_flight: commands under way
 * @changed: counts up when somebody on @wait should look again
 * @wait: for a place, for a reset, for the end of a lend
 * @watch: looks at deadlines
 * @reset_work: resets the function
 * @undo_work: takes back what no command has any more
 */
struct speckv_engine {
	struct kref ref;
	struct rcu_head rcu;
	struct pci_dev *pdev;
	void __iomem *bar;
	int number;
	spinlock_t lock; /* see "Locking" above */
	enum speckv_engine_state state;
	bool is_off;
	bool core_reset;
	struct speckv_caps caps;
	u64 clock;
	struct speckv_lend lends[SPECKV_LENDS];
	struct speckv_layout layouts[SPECKV_LAYOUTS];
	struct speckv_file *theta_owner[SPECKV_THETAS];
	struct speckv_file **widths_owner;
	struct speckv_queue queues[SPECKV_QUEUES];
	struct speckv_counters counters;
	u32 in_flight;
	u32 changed;
	wait_queue_head_t wait;
	struct delayed_work watch;
	struct work_struct reset_work;
	struct work_struct undo_work;
};

static inline u32 speckv_get(struct speckv_engine *engine, u32 offset)
{
	return readl(engine->bar + offset);
}

static inline void speckv_set(struct speckv_engine *engine, u32 offset, u32 value)
{
	writel(value, engine->bar + offset);
}

/* engine.c: engines by number, and which one a file has */
struct speckv_engine *speckv_engine_create(struct pci_dev *pdev);
int speckv_engine_publish(struct speckv_engine *engine);
void speckv_engine_withdraw(struct speckv_engine *engine);
struct speckv_engine *speckv_engine_of(struct speckv_file *file);
void speckv_engine_put(struct speckv_engine *engine);
void speckv_engine_wake(struct speckv_engine *engine);

/* queue.c: jobs to the device and back; all but drain with engine->lock held */
int speckv_queue_post(struct speckv_queue *queue, const struct speckv_job *job,
		      const struct speckv_plan *plan);
bool speckv_queue_drain(struct speckv_queue *queue);
void speckv_jobs_fail(struct speckv_engine *engine, int error, bool is_over);
void speckv_jobs_forget_file(struct speckv_engine *engine, const struct speckv_file *file);
void speckv_job_forget(struct speckv_engine *engine, const void *whom);
u32 speckv_jobs_late(struct speckv_engine *engine);

/* irq.c */
int speckv_irq_request(struct speckv_engine *engine);
void speckv_irq_free(struct speckv_engine *engine);
void speckv_irq_quiet(struct speckv_engine *engine);
void speckv_irq_loud(struct speckv_engine *engine);

/* reset.c: the first four with engine->lock held */
bool speckv_engine_enter(struct speckv_engine *engine, enum speckv_engine_state state);
void speckv_engine_distrust(struct speckv_engine *engine);
void speckv_engine_program(struct speckv_engine *engine);
void speckv_engine_watch(struct speckv_engine *engine);
bool speckv_engine_answers_reset(struct speckv_engine *engine);
void speckv_engine_recovered(struct speckv_engine *engine, bool is_well);
void speckv_reset_work(struct work_struct *work);
void speckv_watch_work(struct work_struct *work);

/* lend.c: with engine->lock held; flush() with a lend that is busy, make() with region->lock */
int speckv_lend_get(struct speckv_engine *engine, const struct speckv_file *file, u64 handle,
		    u64 offset, u64 bytes);
int speckv_lend_make(struct speckv_engine *engine, struct speckv_file *file, u64 handle,
		     u32 window);
void speckv_lend_put(struct speckv_engine *engine, u8 index);
void speckv_lend_flush(struct speckv_engine *engine, u8 index, u64 offset, u64 bytes);
void speckv_lend_write(struct speckv_engine *engine, u32 index);
void speckv_lends_end(struct speckv_engine *engine);
void speckv_undo_work(struct work_struct *work);

/* pci.c's sysfs attributes: engine_sysfs.c */
extern const struct attribute_group *speckv_engine_groups[];

#endif /* SPECKV_ENGINE_OBJECTS_H */
