// SPDX-License-Identifier: GPL-2.0
/*
 * irq.c - one MSI-X vector a queue pair.
 *
 * An interrupt masks its vector and wakes the handler's thread, which takes what has completed,
 * looks again for a little while, since where there was one completion others follow, and unmasks.
 * So a busy engine costs few interrupts, and one that sends them without end costs a thread's
 * share of a CPU. What completes between the last look and the unmasking is looked for once more
 * after it: not every device keeps an interrupt of a vector that is masked.
 */
#include <linux/delay.h>
#include <linux/interrupt.h>

#include "engine.h"

#define LAST_CHANCES 4 /* looks at an empty ring before the vector is unmasked */
#define LOOK_US 20     /* between two of them */

static irqreturn_t mask_and_wake(int irq, void *data)
{
	disable_irq_nosync(irq);
	return IRQ_WAKE_THREAD;
}

static irqreturn_t drain_and_unmask(int irq, void *data)
{
	struct speckv_queue *queue = data;
	u32 empty = 0;

	queue->interrupts++;
	while (empty < LAST_CHANCES) {
		empty = speckv_queue_drain(queue) ? 0 : empty + 1;
		usleep_range(LOOK_US, 2 * LOOK_US);
	}
	enable_irq(irq);
	speckv_queue_drain(queue);
	return IRQ_HANDLED;
}

int speckv_irq_request(struct speckv_engine *engine)
{
	u32 i;
	int rc;

	for (i = 0; i < engine->caps.queues; i++) {
		struct speckv_queue *queue = &engine->queues[i];
		int irq = pci_irq_vector(engine->pdev, i);

		rc = irq < 0 ? irq
			     : request_threaded_irq(irq, mask_and_wake, drain_and_unmask, 0,
						    pci_name(engine->pdev), queue);
		if (rc) {
			speckv_irq_free(engine);
			return rc;
		}
		queue->irq = irq;
	}
	return 0;
}

void speckv_irq_free(struct speckv_engine *engine)
{
	u32 i;

	for (i = 0; i < SPECKV_QUEUES; i++) {
		struct speckv_queue *queue = &engine->queues[i];

		if (queue->irq)
			free_irq(queue->irq, queue);
		queue->irq = 0;
	}
}

/* No handler runs between these two; they nest. */
void speckv_irq_quiet(struct speckv_engine *engine)
{
	u32 i;

	for (i = 0; i < SPECKV_QUEUES; i++)
		if (engine->queues[i].irq)
			disable_irq(engine->queues[i].irq);
}

void speckv_irq_loud(struct speckv_engine *engine)
{
	u32 i;

	for (i = 0; i < SPECKV_QUEUES; i++)
		if (engine->queues[i].irq)
			enable_irq(engine->queues[i].irq);
}
