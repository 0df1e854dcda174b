/*
 * Soft interrupts that run on the way out of a system call.
 *
 * A rump kernel has a thread for every soft interrupt level of every virtual
 * CPU.  What a system call schedules (a packet sent to lo0, say) waits until
 * the caller gives up its virtual CPU, and then costs a wake-up and a switch
 * of host threads, twice for every segment and its acknowledgement.
 *
 * Here the caller runs the handler itself, at the one place where it is known
 * to hold no lock: on its way out, just before it gives up the virtual CPU.
 * Everything else goes to the threads as before: what is scheduled by a
 * thread of the kernel, what is pending when a caller blocks inside the
 * kernel (it may hold the lock that the handler wants), and what a long chain
 * of handlers leaves over.
 *
 * The component stands in front of the tree's own functions (RUMP_WRAP in the
 * Makefile).  A handler is registered with the tree too, so that its threads
 * can run it; "running" keeps a handler from being entered twice on one CPU,
 * because a handler that blocks gives up its virtual CPU to others.
 *
 * Locking: a queue and the state of the handlers in it belong to whoever
 * holds that virtual CPU; there is no preemption.  Only "refs" is touched
 * from several CPUs.
 *
 * Drivers that take their soft interrupt back before the interrupt that
 * schedules it (nvme(4)) may schedule it while it goes, or none at all.  So
 * memory of handlers stays such memory, and one that is dead is let pass.
 */

#include <sys/param.h>
#include <sys/atomic.h>
#include <sys/cpu.h>
#include <sys/intr.h>
#include <sys/kmem.h>
#include <sys/lwp.h>
#include <sys/proc.h>
#include <sys/queue.h>
#include <sys/systm.h>

#include <rump-sys/kern.h>

/* The tree's own definitions. */
void	rump_intr_init_tree(int);
void	*softint_establish_tree(u_int, void (*)(void *), void *);
void	softint_disestablish_tree(void *);
void	softint_schedule_tree(void *);
void	softint_schedule_cpu_tree(void *, struct cpu_info *);
void	rump_softint_run_tree(struct cpu_info *);
void	rump_unschedule_tree(void);

/* As many handlers run on one way out; the rest is left to the threads. */
#define	INLINE_MAX	64

struct handler;

/* A handler on one virtual CPU. */
struct entry {
	struct handler		*handler;
	SIMPLEQ_ENTRY(entry)	link;
	bool			pending;	/* in the CPU's queue */
	volatile bool		running;
	bool			again;		/* scheduled while it ran */
};

struct handler {
	SLIST_ENTRY(handler) next;	/* among those that are free */
	void		(*func)(void *);
	void		*arg;
	bool		mpsafe;
	volatile bool	dead;		/* disestablished: must not run */
	volatile u_int	refs;		/* its owner, and entries in use */
	void		*threaded;	/* the tree's cookie */
	struct entry	entry[];
};

SIMPLEQ_HEAD(queue, entry);
static struct queue queues[MAXCPUS];
static int cpus;

static SLIST_HEAD(, handler) handlers_free = SLIST_HEAD_INITIALIZER(handlers_free);
static kmutex_t handlers_lock;		/* of handlers_free */

void
rump_intr_init(int numcpu)
{
	int i;

	cpus = numcpu;
	mutex_init(&handlers_lock, MUTEX_DEFAULT, IPL_HIGH);
	for (i = 0; i < numcpu; i++)
		SIMPLEQ_INIT(&queues[i]);
	rump_intr_init_tree(numcpu);
}

static size_t
handler_size(void)
{

	return sizeof(struct handler) + cpus * sizeof(struct entry);
}

static void
handler_release(struct handler *h)
{

	if (atomic_dec_uint_nv(&h->refs) != 0)
		return;
	mutex_spin_enter(&handlers_lock);
	SLIST_INSERT_HEAD(&handlers_free, h, next);
	mutex_spin_exit(&handlers_lock);
}

/* For an entry that is to be used; false if the handler is gone. */
static bool
handler_hold(struct handler *h)
{
	u_int refs;

	do {
		if ((refs = h->refs) == 0)
			return false;
	} while (atomic_cas_uint(&h->refs, refs, refs + 1) != refs);
	return true;
}

static struct handler *
handler_get(void)
{
	struct handler *h;

	mutex_spin_enter(&handlers_lock);
	if ((h = SLIST_FIRST(&handlers_free)) != NULL)
		SLIST_REMOVE_HEAD(&handlers_free, next);
	mutex_spin_exit(&handlers_lock);
	if (h == NULL)
		h = kmem_intr_zalloc(handler_size(), KM_SLEEP);
	return h;
}

/*
 * Runs a handler on the current CPU, unless it runs there already (further
 * down on another thread's stack, blocked): then that one will run it again.
 */
static void
entry_run(struct entry *e)
{
	struct handler *h = e->handler;

	if (e->running) {
		e->again = true;
		return;
	}
	e->running = true;
	do {
		e->again = false;
		if (h->dead)
			break;
		if (!h->mpsafe)
			KERNEL_LOCK(1, NULL);
		h->func(h->arg);
		if (!h->mpsafe)
			KERNEL_UNLOCK_ONE(NULL);
	} while (e->again);
	e->running = false;
}

/* What the tree's threads call. */
static void
threaded_run(void *arg)
{
	struct handler *h = arg;

	if (!handler_hold(h))
		return;
	entry_run(&h->entry[cpu_index(curcpu())]);
	handler_release(h);
}

void *
softint_establish(u_int flags, void (*func)(void *), void *arg)
{
	struct handler *h;
	int i;

	h = handler_get();
	h->func = func;
	h->arg = arg;
	h->mpsafe = (flags & SOFTINT_MPSAFE) != 0;
	h->refs = 1;
	for (i = 0; i < cpus; i++)
		h->entry[i].handler = h;
	/* The lock is taken by entry_run. */
	h->threaded = softint_establish_tree(flags | SOFTINT_MPSAFE,
	    threaded_run, h);
	h->dead = false;
	return h;
}

/*
 * Whoever takes a handler back frees what it works on, so one that runs is waited for
 * (softint(9)); the tree's rump kernels do not.
 */
void
softint_disestablish(void *cookie)
{
	struct handler *h = cookie;
	int i;

	h->dead = true;
	softint_disestablish_tree(h->threaded);
	for (i = 0; i < cpus; i++)
		while (h->entry[i].running)
			kpause("softdis", false, 1, NULL);
	handler_release(h);
}

void
softint_schedule(void *cookie)
{
	struct handler *h = cookie;
	struct cpu_info *ci = curcpu();
	struct entry *e;

	if (h == NULL || h->dead)
		return;
	e = &h->entry[cpu_index(ci)];
	/* A thread that serves soft interrupts passes no way out. */
	if (curlwp->l_pflag & LP_INTR) {
		softint_schedule_tree(h->threaded);
		return;
	}
	if (e->pending || !handler_hold(h))
		return;
	e->pending = true;
	SIMPLEQ_INSERT_TAIL(&queues[cpu_index(ci)], e, link);
}

void
softint_schedule_cpu(void *cookie, struct cpu_info *ci)
{
	struct handler *h = cookie;

	if (ci == curcpu())
		softint_schedule(h);
	else
		softint_schedule_cpu_tree(h->threaded, ci);
}

static struct entry *
queue_take(struct queue *q)
{
	struct entry *e;

	if ((e = SIMPLEQ_FIRST(q)) != NULL) {
		SIMPLEQ_REMOVE_HEAD(q, link);
		e->pending = false;
	}
	return e;
}

/*
 * The current thread gives up its virtual CPU, perhaps with locks held: what
 * is pending goes to the threads.
 */
void
rump_softint_run(struct cpu_info *ci)
{
	struct entry *e;

	while ((e = queue_take(&queues[cpu_index(ci)])) != NULL) {
		if (!e->handler->dead)
			softint_schedule_tree(e->handler->threaded);
		handler_release(e->handler);
	}
	rump_softint_run_tree(ci);
}

/*
 * The way out of a system call, with no lock held.
 */
void
rump_unschedule(void)
{
	struct lwp *l = curlwp;
	struct queue *q = &queues[cpu_index(l->l_cpu)];
	struct entry *e;
	int bound, left;

	if (__predict_true(SIMPLEQ_EMPTY(q)) || (l->l_flag & LW_WEXIT)) {
		rump_unschedule_tree();
		return;
	}
	/* Handlers count on staying on their CPU, also when they block. */
	bound = l->l_pflag & LP_BOUND;
	l->l_pflag |= LP_BOUND;
	for (left = INLINE_MAX; left > 0 && (e = queue_take(q)) != NULL; left--) {
		entry_run(e);
		handler_release(e->handler);
	}
	l->l_pflag = (l->l_pflag & ~LP_BOUND) | bound;
	rump_unschedule_tree();
}
