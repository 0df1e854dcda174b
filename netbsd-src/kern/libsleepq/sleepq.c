/*
 * Sleep queues whose sleepers are woken one by one, and lose no wake-up.
 *
 * A rump kernel of the tree's own has one condition variable for all sleepers of
 * all queues.  Whoever is woken in vain has another l_mutex for a moment, because
 * it was scheduled, and selnotify(9) leaves such a thread alone: it takes it for
 * one that is awake and will see for itself what came.  But the thread only looks
 * whether it was taken out of the queue, and sleeps on.  With many threads in
 * poll(2) that happens to one in some thousands.
 *
 * Here sleepers have condition variables by their addresses, so that hardly
 * anybody is woken in vain; and one who is leaves the queue and returns, as all
 * callers look again at what they wait for.
 */

#include <sys/param.h>

#ifdef SLEEPQ_KNOWN

#include <sys/condvar.h>
#include <sys/mutex.h>
#include <sys/proc.h>
#include <sys/sleepq.h>
#include <sys/systm.h>

#include "rump_private.h"

#define	SLEEPERS	256

/* What sleepers of these addresses wait for.  Each is woken under its queue's lock. */
static kcondvar_t sleepers[SLEEPERS];

static kcondvar_t *
condvar_of(const struct lwp *l)
{

	/* An lwp is some hundred bytes. */
	return &sleepers[((uintptr_t)l >> 8) % SLEEPERS];
}

static void
leave(struct lwp *l)
{

	TAILQ_REMOVE(l->l_sleepq, l, l_sleepchain);
	l->l_wchan = NULL;
	l->l_wmesg = NULL;
}

int
sleepq_block(int ticks, bool catch)
{
	struct lwp *l = curlwp;
	kmutex_t *lock = l->l_mutex;
	int biglocks = l->l_biglocks;
	int error = 0;

	/* l_mutex is the queue's lock until somebody else, or a timeout, wakes it. */
	if (l->l_wchan != NULL)
		error = cv_timedwait(condvar_of(l), lock, ticks);
	if (l->l_wchan != NULL)
		leave(l);
	mutex_spin_exit(lock);

	if (biglocks)
		KERNEL_LOCK(biglocks, curlwp);
	return error;
}

void
sleepq_wake(sleepq_t *queue, wchan_t wchan, u_int count, kmutex_t *lock)
{
	struct lwp *l, *next;

	for (l = TAILQ_FIRST(queue); l != NULL; l = next) {
		next = TAILQ_NEXT(l, l_sleepchain);
		if (l->l_wchan != wchan)
			continue;
		leave(l);
		cv_broadcast(condvar_of(l));
		if (--count == 0)
			break;
	}
	mutex_spin_exit(lock);
}

void
sleepq_unsleep(struct lwp *l, bool cleanup)
{

	leave(l);
	cv_broadcast(condvar_of(l));
	if (cleanup)
		mutex_spin_exit(l->l_mutex);
}

RUMP_COMPONENT(RUMP_COMPONENT_KERN)
{
	int i;

	for (i = 0; i < SLEEPERS; i++)
		cv_init(&sleepers[i], "sleepq");
}

#endif	/* SLEEPQ_KNOWN */
