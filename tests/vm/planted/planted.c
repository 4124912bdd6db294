// SPDX-License-Identifier: GPL-2.0
/*
 * planted.c - one bug per check of the debug kernel, made when the module is loaded.
 *
 * A debug kernel that lost its checks looks exactly like a driver without bugs; this tells the two
 * apart. Only tests/vm/vm-test loads it, in a guest of its own.
 */
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

static DEFINE_MUTEX(first);
static DEFINE_MUTEX(second);
static DEFINE_SPINLOCK(spin);
static volatile int shift = 40;

/* lockdep: two orders of two locks; no deadlock, since nobody else is here. */
static void lock_inversion(void) {
  mutex_lock(&first);
  mutex_lock(&second);
  mutex_unlock(&second);
  mutex_unlock(&first);
  mutex_lock(&second);
  mutex_lock(&first);
  mutex_unlock(&first);
  mutex_unlock(&second);
}

static void sleep_in_atomic(void) {
  spin_lock(&spin);
  kfree(kmalloc(8, GFP_KERNEL));
  spin_unlock(&spin);
}

static int undefined_shift(void) { return 1 << shift; }

static void nothing(struct work_struct* work) {}

/* DEBUG_OBJECTS: memory freed while the kernel still has a timer in it. */
static void free_an_armed_timer(void) {
  struct delayed_work* work = kzalloc(sizeof(*work), GFP_KERNEL);

  if (!work) return;
  INIT_DELAYED_WORK(work, nothing);
  schedule_delayed_work(work, 1000 * HZ);
  kfree(work);
}

/* KASAN: the byte after the end. */
static void out_of_bounds(void) {
  char* memory = kzalloc(40, GFP_KERNEL);

  if (!memory) return;
  OPTIMIZER_HIDE_VAR(memory);
  memory[40] = 1;
  kfree(memory);
}

static int __init planted_init(void) {
  lock_inversion();
  sleep_in_atomic();
  pr_info("1 << 40 is %d\n", undefined_shift());
  free_an_armed_timer();
  out_of_bounds();
  return -ECANCELED; /* it must not stay */
}
module_init(planted_init);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Bugs on purpose, to see the debug kernel find them");
