/*
 * Commands that a disk is told of together.
 *
 * nvme(4) writes the number of the next free place of a queue, the queue's doorbell, to
 * the controller after each command.  A thread that starts several transfers at a time
 * (component blkio) has that put off until it has started the last one, so that the
 * controller is told once of all: a doorbell costs as much as starting a transfer, and
 * with a controller that is emulated far more.
 *
 * - The driver writes a doorbell with the queue locked, and so does whoever makes up for
 *   it here: what is written is the number of that moment, which never goes back.
 * - Other threads ring as ever.  Whoever does has rung for all commands in the queue.
 * - The thread sleeps for nothing but locks in between.  Who detaches the controller waits
 *   for the commands, as for any others, and then for threads that may still look at its
 *   queues.
 */

#include <sys/param.h>
#include <sys/atomic.h>
#include <sys/bus.h>
#include <sys/device.h>
#include <sys/mutex.h>
#include <sys/proc.h>
#include <sys/systm.h>

#include <dev/pci/pcivar.h>

#include <dev/ic/nvmereg.h>
#include <dev/ic/nvmevar.h>

#include "pcihost.h"
#include "rump_pci.h"

/* How many threads may put off at a time, and how many queues there may be; others ring. */
#define	THREADS		8
#define	QUEUES		64

/* A queue of a controller's, and the address of its doorbell; 0: none. */
struct bell {
	volatile bus_space_handle_t be_address;
	struct nvme_queue	*be_queue;
	volatile bool		be_put_off;
};

/* A kernel without this driver has none. */
int	nvme_attach_tree(struct nvme_softc *) __weak;

static struct bell bells[QUEUES];

/* Threads that put off, with this bit while they make up for it. */
#define	MAKES_UP	((uintptr_t)1)
static volatile uintptr_t threads[THREADS];
static volatile unsigned nthreads;

static volatile uint64_t put_off, made_up;

/* From now on until pcihost_make_up, if this is true.  Nobody begins twice. */
bool
pcihost_put_off(void)
{
	unsigned i;

	for (i = 0; i < THREADS; i++) {
		if (atomic_cas_ulong(&threads[i], 0, (uintptr_t)curlwp) != 0)
			continue;
		atomic_inc_uint(&nthreads);
		return true;
	}
	return false;
}

static int
place_of(uintptr_t thread)
{
	int i;

	for (i = 0; i < THREADS && threads[i] != thread; i++)
		continue;
	return i < THREADS ? i : -1;
}

/* Whether a register is a doorbell that is not to be written now. */
bool
pcihost_is_put_off(bus_space_handle_t address)
{
	struct bell *bell;

	if (__predict_true(nthreads == 0))
		return false;
	for (bell = bells; bell < &bells[QUEUES]; bell++) {
		if (bell->be_address != address)
			continue;
		/* The driver has the queue locked. */
		bell->be_put_off = place_of((uintptr_t)curlwp) >= 0;
		if (bell->be_put_off)
			atomic_inc_64(&put_off);
		return bell->be_put_off;
	}
	return false;
}

void
pcihost_make_up(void)
{
	int place = place_of((uintptr_t)curlwp);
	struct bell *bell;
	struct nvme_queue *q;

	threads[place] |= MAKES_UP;
	for (bell = bells; bell < &bells[QUEUES]; bell++) {
		if (!bell->be_put_off)
			continue;
		q = bell->be_queue;
		mutex_enter(&q->q_sq_mtx);
		/* Or somebody has rung meanwhile. */
		if (bell->be_put_off) {
			atomic_inc_64(&made_up);
			bus_space_write_4(q->q_sc->sc_iot, q->q_sc->sc_ioh,
			    q->q_sqtdbl, q->q_sq_tail);
		}
		mutex_exit(&q->q_sq_mtx);
	}
	membar_exit();
	threads[place] = 0;
	atomic_dec_uint(&nthreads);
}

/* With the kernel locked, as what follows. */
int
nvme_attach(struct nvme_softc *sc)
{
	struct bell *bell = bells;
	unsigned i;
	int error;

	error = nvme_attach_tree(sc);
	for (i = 0; error == 0 && i < sc->sc_nq; i++) {
		while (bell < &bells[QUEUES] && bell->be_address != 0)
			bell++;
		if (bell == &bells[QUEUES])
			break;
		bell->be_queue = sc->sc_q[i];
		membar_producer();
		bell->be_address = sc->sc_ioh + sc->sc_q[i]->q_sqtdbl;
	}
	return error;
}

/* The controller has nothing more to do, and its queues are about to be freed. */
void
pcihost_forget_bells(struct nvme_softc *sc)
{
	struct bell *bell;
	uintptr_t thread;
	unsigned i;

	for (bell = bells; bell < &bells[QUEUES]; bell++) {
		if (bell->be_address != 0 && bell->be_queue->q_sc == sc)
			bell->be_address = 0;
	}
	membar_sync();
	for (i = 0; i < THREADS; i++) {
		thread = threads[i] & ~MAKES_UP;
		while (thread != 0 && (threads[i] & ~MAKES_UP) == thread)
			kpause("nvmebell", false, 1, NULL);
	}
}

void
pcihost_count_bells(struct rump_pci_stats *stats)
{

	stats->put_off = atomic_add_64_nv(&put_off, 0);
	stats->made_up = atomic_add_64_nv(&made_up, 0);
}
