// SPDX-License-Identifier: GPL-2.0
/*
 * pci.c - a codec engine comes, is reset by the PCI core, and goes.
 *
 * The device is not trusted: what its registers say is cut down to what the driver has room for,
 * and one whose registers are not those of include/hw/speckv_regs.h is not bound.
 */
#include <linux/dma-mapping.h>
#include <linux/slab.h>

#include "compat/flush.h"
#include "engine.h"

#define BAR_REGISTERS 0
#define BAR_BYTES 4096 /* least that holds all registers */

static int read_caps(struct speckv_engine *engine)
{
	struct speckv_caps *caps = &engine->caps;
	u32 version = speckv_get(engine, SPECKV_REG_VERSION);

	if (speckv_get(engine, SPECKV_REG_MAGIC) != SPECKV_REG_MAGIC_VALUE_VALUE ||
	    version >> SPECKV_REG_VERSION_MAJOR_SHIFT != SPECKV_REG_VERSION_MAJOR_VALUE) {
		pci_err(engine->pdev, "version %#x of the registers, expected %#x.x; not bound\n",
			version, SPECKV_REG_VERSION_MAJOR_VALUE);
		return -ENODEV;
	}
	caps->decoders = speckv_get(engine, SPECKV_REG_DECODERS);
	caps->encoders = speckv_get(engine, SPECKV_REG_ENCODERS);
	caps->operations = speckv_get(engine, SPECKV_REG_OPERATIONS);
	speckv_caps_unpack(caps, speckv_get(engine, SPECKV_REG_SHAPES),
			   speckv_get(engine, SPECKV_REG_RESOURCES),
			   speckv_get(engine, SPECKV_REG_TABLES));
	caps->queues = min_t(u32, caps->queues, SPECKV_QUEUES);
	caps->extents = min_t(u32, caps->extents, SPECKV_LENDS);
	caps->layouts = min_t(u32, caps->layouts, SPECKV_LAYOUTS);
	caps->thetas = min_t(u32, caps->thetas, SPECKV_THETAS);
	/* A command has two lends, beside the rings'. */
	if (!caps->queues || caps->extents < caps->queues + 2 || !caps->layouts) {
		pci_err(engine->pdev, "%u queues, %u extents, %u layouts: too few; not bound\n",
			caps->queues, caps->extents, caps->layouts);
		return -ENODEV;
	}
	if (!caps->coherent && !SPECKV_CAN_FLUSH) {
		pci_err(engine->pdev, "is not coherent, and this CPU's caches cannot be flushed\n");
		return -EOPNOTSUPP;
	}
	engine->widths_owner =
		kvcalloc(max_t(u32, caps->widths, 1), sizeof(*engine->widths_owner), GFP_KERNEL);
	return engine->widths_owner ? 0 : -ENOMEM;
}

static int make_rings(struct speckv_engine *engine)
{
	u32 i;

	for (i = 0; i < engine->caps.queues; i++) {
		struct speckv_queue *queue = &engine->queues[i];
		struct speckv_lend *lend = &engine->lends[i];
		dma_addr_t dma;

		/* devm: it lives as long as the binding, and the device is off by then. */
		queue->descriptors = dmam_alloc_coherent(&engine->pdev->dev, 2 * SPECKV_RING_BYTES,
							 &dma, GFP_KERNEL);
		if (!queue->descriptors)
			return -ENOMEM;
		queue->completions = (void *)queue->descriptors + SPECKV_RING_BYTES;
		lend->state = SPECKV_LEND_RINGS;
		lend->dma = dma;
		lend->bytes = 2 * SPECKV_RING_BYTES;
	}
	return 0;
}

static int set_up_function(struct pci_dev *pdev, void __iomem **ret_bar)
{
	int rc = pcim_enable_device(pdev);

	if (rc)
		return rc;
	if (pci_resource_len(pdev, BAR_REGISTERS) < BAR_BYTES)
		return -ENODEV;
	*ret_bar = pcim_iomap_region(pdev, BAR_REGISTERS, "speckv");
	if (IS_ERR(*ret_bar))
		return PTR_ERR(*ret_bar);
	rc = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (rc)
		return rc;
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	return 0;
}

/* From a device in any state to one that runs. */
static int start(struct speckv_engine *engine)
{
	struct pci_dev *pdev = engine->pdev;
	int rc =
		pci_alloc_irq_vectors(pdev, engine->caps.queues, engine->caps.queues, PCI_IRQ_MSIX);

	if (rc < 0)
		return rc;
	if (!speckv_engine_answers_reset(engine)) {
		pci_err(pdev, "does not answer a reset; not bound\n");
		rc = -EIO;
		goto out_vectors;
	}
	pci_set_master(pdev);
	rc = speckv_irq_request(engine);
	if (rc)
		goto out_master;
	rc = speckv_engine_publish(engine);
	if (rc)
		goto out_irq;
	spin_lock(&engine->lock);
	speckv_engine_program(engine);
	speckv_engine_enter(engine, SPECKV_ENGINE_LIVE);
	spin_unlock(&engine->lock);
	return 0;

out_irq:
	speckv_irq_free(engine);
out_master:
	pci_clear_master(pdev);
out_vectors:
	pci_free_irq_vectors(pdev);
	return rc;
}

static int speckv_pci_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct speckv_engine *engine;
	void __iomem *bar;
	int rc = set_up_function(pdev, &bar);

	if (rc)
		return rc;
	engine = speckv_engine_create(pdev);
	if (!engine)
		return -ENOMEM;
	engine->bar = bar;
	rc = read_caps(engine);
	if (!rc)
		rc = make_rings(engine);
	/* sysfs may look at it as soon as somebody can find it. */
	pci_set_drvdata(pdev, engine);
	if (!rc)
		rc = start(engine);
	if (rc) {
		speckv_engine_put(engine);
		return rc;
	}
	pci_info(pdev, "is engine %d: %u queues, encodes %#x, decodes %#x\n", engine->number,
		 engine->caps.queues, engine->caps.encoders, engine->caps.decoders);
	return 0;
}

/*
 * Comes with the device still there (unbind), or gone. Files keep the engine's struct, and find it
 * dead. When this returns nothing of any extent is lent: the device is off the bus, or has answered
 * a reset, or may no longer be master of the bus.
 */
static void speckv_pci_remove(struct pci_dev *pdev)
{
	struct speckv_engine *engine = pci_get_drvdata(pdev);

	spin_lock(&engine->lock);
	speckv_engine_enter(engine, SPECKV_ENGINE_DEAD);
	spin_unlock(&engine->lock);
	speckv_engine_withdraw(engine);
	cancel_delayed_work_sync(&engine->watch);
	cancel_work_sync(&engine->reset_work);
	speckv_irq_free(engine);
	if (pci_device_is_present(pdev) && !speckv_engine_answers_reset(engine))
		pci_err(pdev, "does not answer a reset; its bus mastering is switched off\n");
	pci_clear_master(pdev);
	pci_free_irq_vectors(pdev);

	spin_lock(&engine->lock);
	engine->is_off = true;
	speckv_jobs_fail(engine, -ENODEV, true);
	speckv_lends_end(engine);
	spin_unlock(&engine->lock);
	queue_work(speckv_workqueue, &engine->undo_work);
	flush_work(&engine->undo_work);
	speckv_engine_wake(engine);
	speckv_engine_put(engine);
}

/* The core is about to reset the function, or has lost it: no command, no register from now on. */
static void stop_for_core(struct speckv_engine *engine)
{
	spin_lock(&engine->lock);
	engine->core_reset = true;
	speckv_engine_enter(engine, SPECKV_ENGINE_RESETTING);
	spin_unlock(&engine->lock);
	/* One of our own that had begun ends first, in LIVE or DEAD. */
	flush_work(&engine->reset_work);
	spin_lock(&engine->lock);
	speckv_engine_enter(engine, SPECKV_ENGINE_RESETTING);
	spin_unlock(&engine->lock);
	speckv_irq_quiet(engine);
}

static void go_on_after_core(struct speckv_engine *engine)
{
	bool is_ours;

	spin_lock(&engine->lock);
	engine->core_reset = false;
	is_ours = engine->state == SPECKV_ENGINE_RESETTING;
	spin_unlock(&engine->lock);
	if (is_ours)
		speckv_engine_recovered(engine, speckv_engine_answers_reset(engine));
	speckv_irq_loud(engine);
}

static void speckv_reset_prepare(struct pci_dev *pdev)
{
	stop_for_core(pci_get_drvdata(pdev));
}

static void speckv_reset_done(struct pci_dev *pdev)
{
	pci_set_master(pdev);
	go_on_after_core(pci_get_drvdata(pdev));
}

static pci_ers_result_t speckv_error_detected(struct pci_dev *pdev, pci_channel_state_t state)
{
	stop_for_core(pci_get_drvdata(pdev));
	return state == pci_channel_io_perm_failure ? PCI_ERS_RESULT_DISCONNECT
						    : PCI_ERS_RESULT_NEED_RESET;
}

static pci_ers_result_t speckv_slot_reset(struct pci_dev *pdev)
{
	pci_restore_state(pdev);
	pci_set_master(pdev);
	return PCI_ERS_RESULT_RECOVERED;
}

static void speckv_resume(struct pci_dev *pdev)
{
	go_on_after_core(pci_get_drvdata(pdev));
}

static const struct pci_error_handlers speckv_error_handlers = {
	.error_detected = speckv_error_detected,
	.slot_reset = speckv_slot_reset,
	.resume = speckv_resume,
	.reset_prepare = speckv_reset_prepare,
	.reset_done = speckv_reset_done,
};

/* QEMU's vendor has numbers for experiments; this is fpga/device's. */
static const struct pci_device_id speckv_pci_ids[] = {
	{ PCI_DEVICE(0x1b36, 0x10f0) },
	{ 0 },
};
MODULE_DEVICE_TABLE(pci, speckv_pci_ids);

static struct pci_driver speckv_pci_driver = {
	.name = KBUILD_MODNAME,
	.id_table = speckv_pci_ids,
	.probe = speckv_pci_probe,
	.remove = speckv_pci_remove,
	.dev_groups = speckv_engine_groups,
	.err_handler = &speckv_error_handlers,
};

int speckv_pci_register(void)
{
	return pci_register_driver(&speckv_pci_driver);
}

void speckv_pci_unregister(void)
{
	pci_unregister_driver(&speckv_pci_driver);
}
