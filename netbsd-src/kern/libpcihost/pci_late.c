/*
 * Disks that do not answer.
 *
 * nvme(4) waits for the answer to a command as long as it takes, and so does whoever wants
 * the data.  Here a thread looks at its controllers every second:
 *
 * - An answer may be there whose interrupt was lost.  The driver is told to look.
 * - A command that has had no answer for as long as is allowed (rump_pci_set_timeout), or
 *   a controller that is gone, whose registers read as ones or zeros: the controller is
 *   stopped, so that it writes nowhere any more, and its commands are answered in its
 *   place, with an error, in the queue that the driver reads.  The driver gives back what
 *   it holds of each, as it always does.  Who waited gets ETIMEDOUT, or ENXIO.
 * - What a disk is told while it is detached fails, too (dk_drain).
 * - What a stopped controller is told afterwards is answered in the same way, within two
 *   seconds, until the device is detached.  What it is told by who detaches it is answered
 *   while that thread polls for the answer, by itself (pci_gone.c): it has the virtual CPU
 *   all the time, and another thread would need that for the clock to go on.
 *
 * A command is as old as the loading of its map (pci_dma.c).  One without data is as old
 * as the last answer in its queue.
 *
 * Weak: answers are those of a command that has been seen twice, a second apart, so that
 * the driver has surely done with telling it to the controller.
 */

#include <sys/param.h>
#include <sys/atomic.h>
#include <sys/buf.h>
#include <sys/bus.h>
#include <sys/device.h>
#include <sys/disk.h>
#include <sys/kernel.h>
#include <sys/kmem.h>
#include <sys/kthread.h>
#include <sys/mutex.h>
#include <sys/systm.h>

#include <dev/ldvar.h>
#include <dev/pci/pcireg.h>
#include <dev/pci/pcivar.h>

#include <dev/ic/nvmereg.h>
#include <dev/ic/nvmevar.h>

#include "pcihost.h"
#include "rump_pci.h"

/* How long a command may take, and how long an interrupt, in seconds. */
#define	ALLOWED		30
#define	INTERRUPT	2

/* In the flags of a controller, beside the driver's own: why it was stopped. */
#define	LATE		__BIT(30)
#define	GONE		__BIT(31)
#define	STOPPED		(LATE | GONE)

/* What is known of a queue. */
struct queue {
	uint32_t	q_head;		/* of the answers, when last seen */
	uint16_t	q_phase;
	unsigned	q_idle;		/* seconds without an answer */
	bool		q_told;		/* answers up to here were put there */
	uint32_t	q_last;
	uint16_t	q_lastphase;
	unsigned	q_nccbs;
	bool		*q_used;	/* the commands that are under way */
	bool		*q_seen;	/* and those that were a second ago */
};

struct controller {
	LIST_ENTRY(controller) c_link;
	struct nvme_softc *c_sc;
	unsigned	c_nq;
	struct queue	*c_q;		/* the first is for administration */
	bool		c_polled;	/* that one is polled by the detacher */
	bool		c_told;		/* that an interrupt was lost */
	int		(*c_disestablish)(struct nvme_softc *, uint16_t);
};

/* A kernel without these drivers has none of them; the first or the second. */
void	nvme_softintr_msi(void *) __weak;
int	nvme_mq_msix_intr(void *) __weak;
int	nvme_detach_tree(struct nvme_softc *, int) __weak;
void	nvme_childdet_tree(device_t, device_t) __weak;
void	lddone_tree(struct ld_softc *, struct buf *) __weak;
void	dk_drain_tree(struct dk_softc *) __weak;

static LIST_HEAD(, controller) controllers = LIST_HEAD_INITIALIZER(controllers);
static kmutex_t lock;
static volatile unsigned allowed = ALLOWED;

/* Who detaches a stopped controller; one at a time. */
static struct lwp *volatile detacher;

/* Has the driver look at the answers of a queue. */
static void
poll_queue(struct nvme_queue *q)
{

	if (&nvme_softintr_msi != NULL)
		nvme_softintr_msi(q);
	else
		(void)nvme_mq_msix_intr(q);
}

static struct nvme_queue *
queue_of(struct controller *c, unsigned number)
{

	return number == 0 ? c->c_sc->sc_admin_q : c->c_sc->sc_q[number - 1];
}

static bool
has_disks(struct nvme_softc *sc)
{
	unsigned i;

	for (i = 0; sc->sc_namespaces != NULL && i < sc->sc_nn; i++) {
		if (sc->sc_namespaces[i].dev != NULL)
			return true;
	}
	return false;
}

static struct controller *
find(struct nvme_softc *sc)
{
	struct controller *c;

	LIST_FOREACH(c, &controllers, c_link) {
		if (c->c_sc == sc)
			break;
	}
	return c;
}

static void
forget(struct controller *c)
{
	unsigned i;

	LIST_REMOVE(c, c_link);
	for (i = 0; i < c->c_nq; i++)
		kmem_free(c->c_q[i].q_used, 2 * c->c_q[i].q_nccbs);
	kmem_free(c->c_q, c->c_nq * sizeof(*c->c_q));
	kmem_free(c, sizeof(*c));
}

static struct controller *
remember(struct nvme_softc *sc)
{
	struct controller *c = kmem_zalloc(sizeof(*c), KM_SLEEP);
	struct queue *known;
	unsigned i;

	c->c_sc = sc;
	c->c_nq = sc->sc_nq + 1;
	c->c_q = kmem_zalloc(c->c_nq * sizeof(*c->c_q), KM_SLEEP);
	for (i = 0; i < c->c_nq; i++) {
		known = &c->c_q[i];
		known->q_nccbs = queue_of(c, i)->q_nccbs;
		known->q_used = kmem_zalloc(2 * known->q_nccbs, KM_SLEEP);
		known->q_seen = known->q_used + known->q_nccbs;
	}
	LIST_INSERT_HEAD(&controllers, c, c_link);
	return c;
}

/* Notes which commands of a queue are under way; for how many seconds the oldest is. */
static unsigned
age(struct queue *known, struct nvme_queue *q)
{
	time_t since, now = time_uptime;
	struct nvme_ccb *ccb;
	unsigned i, free = 0, oldest;

	memset(known->q_used, true, known->q_nccbs);
	mutex_enter(&q->q_ccb_mtx);
	SIMPLEQ_FOREACH(ccb, &q->q_ccb_list, ccb_entry) {
		known->q_used[ccb->ccb_id] = false;
		free++;
	}
	mutex_exit(&q->q_ccb_mtx);
	if (free == known->q_nccbs || known->q_head != q->q_cq_head ||
	    known->q_phase != q->q_cq_phase)
		known->q_idle = 0;
	else
		known->q_idle++;
	known->q_head = q->q_cq_head;
	known->q_phase = q->q_cq_phase;
	oldest = known->q_idle;
	for (i = 0; free < known->q_nccbs && i < known->q_nccbs; i++) {
		since = pcihost_loaded(q->q_ccbs[i].ccb_dmamap);
		if (known->q_used[i] && since != 0 && now > since)
			oldest = MAX(oldest, now - since);
	}
	return oldest;
}

/* Answers the commands of a queue that were there a second ago, in the controller's place. */
static void
answer(struct queue *known, struct nvme_queue *q, bool polled)
{
	struct nvme_cqe *ring = NVME_DMA_KVA(q->q_cq_dmamem), *cqe;
	uint32_t head;
	uint16_t phase;
	unsigned i, answers = 0;

	mutex_enter(&q->q_cq_mtx);
	head = q->q_cq_head;
	phase = q->q_cq_phase;
	/* Not before the answers of the last time were taken. */
	if (known->q_told && (head != known->q_last || phase != known->q_lastphase)) {
		mutex_exit(&q->q_cq_mtx);
		return;
	}
	for (i = 0; i < known->q_nccbs && answers + 1 < q->q_entries; i++) {
		if (!known->q_used[i] || !known->q_seen[i])
			continue;
		known->q_used[i] = false;
		answers++;
		cqe = &ring[head];
		memset(cqe, 0, sizeof(*cqe));
		cqe->cid = i;
		membar_producer();
		htolem16(&cqe->flags,
		    NVME_CQE_SC_INTERNAL_DEV_ERR | phase);
		if (++head >= q->q_entries) {
			head = 0;
			phase ^= NVME_CQE_PHASE;
		}
	}
	known->q_told = true;
	known->q_last = head;
	known->q_lastphase = phase;
	mutex_exit(&q->q_cq_mtx);
	memcpy(known->q_seen, known->q_used, known->q_nccbs);
	if (answers > 0 && !polled)
		poll_queue(q);
}

/* Has the controller do nothing any more. */
static void
stop(struct controller *c, uint32_t why)
{
	struct nvme_softc *sc = c->c_sc;
	pcitag_t tag;
	uint32_t status = bus_space_read_4(sc->sc_iot, sc->sc_ioh, NVME_CSTS);
	uint32_t word;
	unsigned i;

	if (why == GONE)
		aprint_error_dev(sc->sc_dev, "the device is gone; what it was"
		    " to do fails\n");
	else
		aprint_error_dev(sc->sc_dev, "a command has had no answer for"
		    " %u s (status 0x%x); the device is stopped, and what it"
		    " was to do fails until it is detached and attached"
		    " again\n", allowed, status);
	atomic_or_32(&sc->sc_flags, why);
	for (i = 0; i < c->c_nq; i++)
		memset(c->c_q[i].q_seen, false, c->c_q[i].q_nccbs);
	tag = pci_make_tag(NULL, device_unit(device_parent(sc->sc_dev)),
	    device_locator(sc->sc_dev, 0), 0);
	word = pci_conf_read(NULL, tag, PCI_COMMAND_STATUS_REG);
	pci_conf_write(NULL, tag, PCI_COMMAND_STATUS_REG,
	    (word & 0xffff) & ~PCI_COMMAND_MASTER_ENABLE);
	if (why == GONE)
		return;
	word = bus_space_read_4(sc->sc_iot, sc->sc_ioh, NVME_CC);
	bus_space_write_4(sc->sc_iot, sc->sc_ioh, NVME_CC,
	    word & ~NVME_CC_EN);
	for (i = 0; i < 100; i++) {
		status = bus_space_read_4(sc->sc_iot, sc->sc_ioh, NVME_CSTS);
		if ((status & NVME_CSTS_RDY) == 0 || status == 0xffffffff)
			break;
		kpause("nvmestop", false, MAX(hz / 100, 1), NULL);
	}
}

/* Whether it is to be stopped as it is gone: there is no version of either number. */
static bool
is_gone(struct nvme_softc *sc)
{
	uint32_t version = bus_space_read_4(sc->sc_iot, sc->sc_ioh, NVME_VS);

	return (sc->sc_flags & STOPPED) == 0 &&
	    (version == 0 || version == 0xffffffff);
}

/* The controller, if it is stopped, or gone, so that it is stopped now. */
static struct controller *
look_if_gone(struct nvme_softc *sc)
{
	struct controller *c = find(sc);

	if (is_gone(sc)) {
		if (c == NULL)
			c = remember(sc);
		stop(c, GONE);
	}
	return (sc->sc_flags & STOPPED) != 0 ? c : NULL;
}

static void
look(struct nvme_softc *sc)
{
	struct controller *c = find(sc);
	unsigned i, oldest, first;

	if (c == NULL) {
		if (!has_disks(sc))
			return;
		c = remember(sc);
	}
	if (is_gone(sc))
		stop(c, GONE);
	if (c->c_polled)
		return;
	/* While devices come and go, the driver polls this queue. */
	first = pcihost_attaching > 0 ? 1 : 0;
	for (i = first; i < c->c_nq; i++) {
		struct nvme_queue *q = queue_of(c, i);
		struct queue *known = &c->c_q[i];

		if ((sc->sc_flags & STOPPED) != 0)
			poll_queue(q);
		oldest = age(known, q);
		if ((sc->sc_flags & STOPPED) != 0) {
			answer(known, q, false);
			continue;
		}
		if (allowed != 0 && oldest >= allowed)
			stop(c, LATE);
		else if (oldest >= INTERRUPT) {
			poll_queue(q);
			if (q->q_cq_head != known->q_head && !c->c_told) {
				c->c_told = true;
				aprint_error_dev(sc->sc_dev, "an answer was"
				    " there, and no interrupt for %u s\n",
				    oldest);
			}
		}
		memcpy(known->q_seen, known->q_used, known->q_nccbs);
	}
}

/* This thread polls for something. */
void
pcihost_polls(void)
{
	struct controller *c;

	if (__predict_true(detacher == NULL) || detacher != curlwp)
		return;
	mutex_enter(&lock);
	LIST_FOREACH(c, &controllers, c_link) {
		if (!c->c_polled)
			continue;
		(void)age(&c->c_q[0], queue_of(c, 0));
		memcpy(c->c_q[0].q_seen, c->c_q[0].q_used, c->c_q[0].q_nccbs);
		answer(&c->c_q[0], queue_of(c, 0), true);
	}
	mutex_exit(&lock);
}

static void
watch(void *arg)
{
	deviter_t iterator;
	device_t device;

	for (;;) {
		mutex_enter(&lock);
		for (device = deviter_first(&iterator, 0); device != NULL;
		    device = deviter_next(&iterator)) {
			if (device_is_a(device, "nvme"))
				look(device_private(device));
		}
		deviter_release(&iterator);
		mutex_exit(&lock);
		kpause("pcilate", false, hz, NULL);
	}
}

/*
 * A disk that is detached empties the queue of what it was to do, and what it is told
 * then would wait in there for ever.  From here on it is told that there is no disk.
 */
void
dk_drain(struct dk_softc *dksc)
{

	dksc->sc_flags &= ~DKF_INITED;
	/* For who has just looked at that. */
	kpause("dkdrain", false, 2, NULL);
	dk_drain_tree(dksc);
}

/* With the kernel locked. */
void
pcihost_watch(void)
{
	static bool watched;

	if (watched || &nvme_detach_tree == NULL)
		return;
	watched = true;
	mutex_init(&lock, MUTEX_DEFAULT, IPL_NONE);
	if (kthread_create(PRI_NONE, KTHREAD_MPSAFE, NULL, watch, NULL, NULL,
	    "pcilate") != 0)
		aprint_error("pcihost: nobody looks after disks that do not"
		    " answer\n");
}

/* In place of the driver's: what it tells a stopped controller from now on it polls for. */
static int
disestablish(struct nvme_softc *sc, uint16_t number)
{
	struct controller *c;
	int (*its)(struct nvme_softc *, uint16_t);

	mutex_enter(&lock);
	c = find(sc);
	its = c->c_disestablish;
	if (number == NVME_ADMIN_Q) {
		/* The queues are freed after that. */
		sc->sc_intr_disestablish = its;
		forget(c);
		detacher = NULL;
	}
	mutex_exit(&lock);
	return (*its)(sc, number);
}

int
nvme_detach(struct nvme_softc *sc, int flags)
{
	struct controller *c;
	int error;

	/* The driver then finds none. */
	error = config_detach_children(sc->sc_dev, flags);
	if (error != 0)
		return error;
	mutex_enter(&lock);
	while ((c = look_if_gone(sc)) != NULL &&
	    atomic_cas_ptr(&detacher, NULL, curlwp) != NULL) {
		mutex_exit(&lock);
		kpause("nvmegone", false, 1, NULL);
		mutex_enter(&lock);
	}
	if (c != NULL) {
		c->c_polled = true;
		c->c_disestablish = sc->sc_intr_disestablish;
		sc->sc_intr_disestablish = disestablish;
	} else if ((c = find(sc)) != NULL)
		forget(c);
	mutex_exit(&lock);
	pcihost_forget_bells(sc);
	return nvme_detach_tree(sc, flags);
}

void
nvme_childdet(device_t self, device_t child)
{

	mutex_enter(&lock);
	nvme_childdet_tree(self, child);
	mutex_exit(&lock);
}

void
lddone(struct ld_softc *sc, struct buf *bp)
{
	device_t parent = device_parent(sc->sc_dv);
	struct nvme_softc *nvme;

	if (bp->b_error == EIO && parent != NULL && device_is_a(parent, "nvme")) {
		nvme = device_private(parent);
		if ((nvme->sc_flags & GONE) != 0)
			bp->b_error = ENXIO;
		else if ((nvme->sc_flags & LATE) != 0)
			bp->b_error = ETIMEDOUT;
	}
	lddone_tree(sc, bp);
}

void
rump_pci_set_timeout(unsigned seconds)
{

	allowed = seconds;
}
