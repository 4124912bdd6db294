// SPDX-License-Identifier: Apache-2.0
/*
 * guest.c - the engine's device process as a guest sees it: PCI, BARs, registers, DMA into the
 * guest's RAM and into the CXL card, function-level reset, hostile accesses. No driver is bound:
 *the program maps BAR 0 through sysfs and finds physical addresses in pagemap, as root may.
 *
 *	guest PCI-ADDRESS DAX-DEVICE PHYSICAL-ADDRESS
 *
 * Prints TAP. Codec `raw` is what moves: its stored bytes are the raw ones, so that the guest needs
 * no codec to judge them; the others are compared on the host (tests/unit/device).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hw/speckv_engine.h"
#include "hw/speckv_regs.h"

#define HUGE_BYTES (2u << 20)
#define RING_SLOTS_LOG2 4
#define DATA (1u << 20) /* in the huge page, behind the rings */
#define POLLS 20000
#define RAM 0 /* extents */
#define CARD 1

static volatile uint32_t* bar;
static uint8_t *memory, *card;
static uint16_t tail, head;
static int number, failed;

static void report(int good, const char* name) {
  printf("%s %d - engine: %s\n", good ? "ok" : "not ok", ++number, name);
  failed += !good;
  fflush(stdout);
}

static uint32_t get(uint32_t offset) { return bar[offset / 4]; }

static void set(uint32_t offset, uint32_t value) { bar[offset / 4] = value; }

static uint64_t physical(const void* at) {
  uint64_t entry = 0;
  int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

  if (fd < 0 || pread(fd, &entry, 8, (off_t)((uintptr_t)at / 4096 * 8)) != 8) entry = 0;
  close(fd);
  return (entry & ((1ULL << 55) - 1)) * 4096;
}

static void set_extent(uint32_t index, uint64_t address, uint64_t bytes) {
  const uint32_t at = index * SPECKV_REG_EXTENTS_STRIDE;

  set(SPECKV_REG_EXTENTS_BASE_LOW + at, (uint32_t)address);
  set(SPECKV_REG_EXTENTS_BASE_HIGH + at, (uint32_t)(address >> 32));
  set(SPECKV_REG_EXTENTS_SIZE + at, (uint32_t)(bytes / 64));
  set(SPECKV_REG_EXTENTS_FLAGS + at, SPECKV_REG_EXTENTS_FLAGS_VALID_MASK |
                                         SPECKV_REG_EXTENTS_FLAGS_WRITABLE_MASK |
                                         SPECKV_REG_EXTENTS_FLAGS_QUEUES_MASK);
}

static void set_up(uint64_t card_address) {
  memset(memory, 0, DATA);
  set_extent(RAM, physical(memory), HUGE_BYTES);
  set_extent(CARD, card_address, HUGE_BYTES);
  /* a reset takes the indices, and nothing that was written to a register */
  set(SPECKV_REG_QUEUES_SETUP, 0);
  for (int i = 0; i < POLLS && get(SPECKV_REG_QUEUES_CQ_TAIL) != 0; i++) usleep(1000);
  set(SPECKV_REG_QUEUES_SQ_OFFSET, 0);
  set(SPECKV_REG_QUEUES_CQ_OFFSET, 65536);
  set(SPECKV_REG_QUEUES_CQ_HEAD, 0);
  set(SPECKV_REG_QUEUES_SETUP, SPECKV_REG_QUEUES_SETUP_ENABLE_MASK |
                                   RING_SLOTS_LOG2 << SPECKV_REG_QUEUES_SETUP_LOG2_SLOTS_SHIFT);
  /* one head of two pages of 32 x 64 fp16 values, all raw */
  set(SPECKV_REG_LAYOUTS_SHAPE,
      SPECKV_REG_LAYOUTS_SHAPE_VALID_MASK | 1u << SPECKV_REG_LAYOUTS_SHAPE_TOKENS_SHIFT |
          1u << SPECKV_REG_LAYOUTS_SHAPE_HEADS_SHIFT | 2u << SPECKV_REG_LAYOUTS_SHAPE_PAGES_SHIFT);
  set(SPECKV_REG_LAYOUTS_CODECS, 0);
  /* the same, K stored as rowq4 and V as q8 */
  set(SPECKV_REG_LAYOUTS_SHAPE + SPECKV_REG_LAYOUTS_STRIDE, get(SPECKV_REG_LAYOUTS_SHAPE));
  set(SPECKV_REG_LAYOUTS_CODECS + SPECKV_REG_LAYOUTS_STRIDE,
      4u | 2u << SPECKV_REG_LAYOUTS_CODECS_V_SHIFT);
  set(SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_ENABLE_MASK);
  tail = head = 0;
}

#define SEGMENT_BYTES (2u * 2 * 32 * 64 * 2)
#define STORED_BYTES (2u * 1024 + 2u * 2112) /* of layout 1 */

static struct speckv_engine_descriptor job(int encode, int from, int to) {
  struct speckv_engine_descriptor asked = {
      .opcode = encode ? SPECKV_ENGINE_ENCODE : SPECKV_ENGINE_DECODE,
      .source_extent = (uint8_t)from,
      .target_extent = (uint8_t)to,
      .source_offset = from == RAM ? DATA : 0,
      .target_offset = to == RAM ? DATA + 256 * 1024 : 0,
      .cookie = 0x5eed0000u + tail,
      .bytes = SEGMENT_BYTES,
  };
  return asked;
}

/* Returns: the completion's status, -1 when none came. */
static int run(struct speckv_engine_descriptor asked) {
  struct speckv_engine_completion told;
  const uint16_t slots = 1u << RING_SLOTS_LOG2;
  volatile uint8_t* slot = memory + 65536 + 64 * (head % slots);

  memcpy(memory + 64 * (tail % slots), &asked, 64);
  __sync_synchronize();
  set(SPECKV_REG_QUEUES_SQ_TAIL, ++tail);
  for (int i = 0; i < POLLS; i++) {
    memcpy(&told, (const void*)slot, 64);
    if ((told.phase & 1) == ((head & slots) == 0)) {
      set(SPECKV_REG_QUEUES_CQ_HEAD, ++head);
      return told.cookie == asked.cookie ? told.status : -2;
    }
    usleep(1000);
  }
  return -1;
}

static void fill(uint8_t* at, unsigned int seed) {
  for (uint32_t i = 0; i < SEGMENT_BYTES; i++)
    at[i] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
}

static void moves_bytes(void) {
  int good = 1;

  for (unsigned int i = 0; i < 40 && good; i++) {
    fill(memory + DATA, i);
    good = run(job(1, RAM, RAM)) == SPECKV_ENGINE_OK &&
           memcmp(memory + DATA, memory + DATA + 256 * 1024, SEGMENT_BYTES) == 0;
  }
  report(good, "40 segments through the guest's RAM, the ring wrapped twice");
  fill(memory + DATA, 99);
  good =
      run(job(1, RAM, CARD)) == SPECKV_ENGINE_OK && memcmp(memory + DATA, card, SEGMENT_BYTES) == 0;
  report(good, "a segment is stored in the CXL card's memory");
  good = run(job(0, CARD, RAM)) == SPECKV_ENGINE_OK &&
         memcmp(card, memory + DATA + 256 * 1024, SEGMENT_BYTES) == 0;
  report(good, "and comes back from it");
}

/* Whether the bytes are the right ones says the device where it does each command twice. */
static void codes(void) {
  int good = 1;

  for (unsigned int i = 0; i < 40 && good; i++) {
    uint16_t* values = (uint16_t*)(memory + DATA);
    struct speckv_engine_descriptor asked = job(1, RAM, RAM);

    fill(memory + DATA, i);
    for (uint32_t j = 0; j < SEGMENT_BYTES / 2; j++) values[j] = (values[j] & 0x83ff) | 0x3800;
    asked.layout = 1;
    asked.bytes = STORED_BYTES;
    good = run(asked) == SPECKV_ENGINE_OK;
    asked.opcode = SPECKV_ENGINE_DECODE;
    asked.source_offset = DATA + 256 * 1024;
    asked.target_offset = DATA + 512 * 1024;
    asked.cookie++;
    good &= run(asked) == SPECKV_ENGINE_OK;
  }
  report(good, "40 segments of rowq4 and q8, there and back");
}

static void refuses(void) {
  struct speckv_engine_descriptor bad = job(1, RAM, RAM);
  int good = 1;

  bad.source_offset = HUGE_BYTES;
  good &= run(bad) == SPECKV_ENGINE_SOURCE;
  bad = job(1, RAM, 9);
  good &= run(bad) == SPECKV_ENGINE_TARGET;
  bad = job(1, RAM, RAM);
  bad.opcode = 200;
  good &= run(bad) == SPECKV_ENGINE_BAD_OPCODE;
  set_extent(5, 0xfe00000000ULL, HUGE_BYTES); /* nobody's */
  bad = job(1, 5, RAM);
  bad.source_offset = 0;
  good &= run(bad) == SPECKV_ENGINE_READ_ERROR;
  report(good, "outside an extent, of no extent, no opcode, memory that is nobody's");
  report(get(SPECKV_REG_ERROR) >> SPECKV_REG_ERROR_COUNT_SHIFT == 4, "four errors are logged");
  report(run(job(1, RAM, RAM)) == SPECKV_ENGINE_OK, "and the next good one works");
}

static void hostile_accesses(void) {
  const volatile uint8_t* bytes = (const volatile uint8_t*)bar;

  for (uint32_t offset = 0; offset < 4096; offset += 4)
    if (offset != SPECKV_REG_CONTROL) set(offset, offset * 2654435761u);
  (void)bytes[1];
  (void)bytes[65535];
  report(get(SPECKV_REG_MAGIC) == SPECKV_REG_MAGIC_VALUE_VALUE,
         "nonsense in every register: it still answers");
}

static int config_write(const char* path, off_t at, uint16_t value) {
  int fd = open(path, O_RDWR | O_CLOEXEC);
  int good = fd >= 0 && pwrite(fd, &value, 2, at) == 2;

  close(fd);
  return good;
}

int main(int argc, char** argv) {
  char path[128];
  uint64_t card_address;

  if (argc != 4) return 2;
  snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", argv[1]);
  if (!config_write(path, 4, 0x0006)) /* memory, bus master */
    return 1;
  snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource0", argv[1]);
  int fd = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
  bar = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  memory = mmap(NULL, HUGE_BYTES, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
  if (bar == MAP_FAILED || memory == MAP_FAILED) {
    perror("mmap");
    return 1;
  }
  card_address = strtoull(argv[3], NULL, 0);
  fd = open(argv[2], O_RDWR | O_CLOEXEC);
  card = mmap(NULL, HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (card == MAP_FAILED) {
    perror(argv[2]);
    return 1;
  }
  report(get(SPECKV_REG_MAGIC) == SPECKV_REG_MAGIC_VALUE_VALUE, "its registers answer");
  set_up(card_address);
  moves_bytes();
  codes();
  refuses();
  hostile_accesses();
  set(SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_RESET_MASK);
  for (int i = 0; i < POLLS && (get(SPECKV_REG_STATUS) & SPECKV_REG_STATUS_RESETTING_MASK); i++)
    usleep(1000);
  set_up(card_address);
  report(run(job(1, RAM, RAM)) == SPECKV_ENGINE_OK, "CONTROL.reset, and it works again");
  snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/reset", argv[1]);
  fd = open(path, O_WRONLY | O_CLOEXEC);
  report(fd >= 0 && write(fd, "1", 1) == 1, "the kernel resets the function");
  report(get(SPECKV_REG_LAYOUTS_SHAPE) == 0, "which forgets the tables, too");
  set_up(card_address);
  report(run(job(1, RAM, RAM)) == SPECKV_ENGINE_OK, "and it works again");
  printf("1..%d\n", number);
  return failed != 0;
}
