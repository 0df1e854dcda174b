/*
 * kqueue(2) among threads, for kernels that do not lock it enough.
 *
 * In NetBSD 7 a scan only marks a knote while it asks the filter, and whoever
 * detaches the knote overlooks the mark if an event came meanwhile: the scan
 * goes on in memory that was freed.  If it sees the mark it spins until the scan
 * is over, which in turn may wait for the lock that the spinner holds.  NetBSD 8
 * scans with that lock.  Here one lock keeps scans, changes and the closing of
 * descriptors apart, so that no mark is ever seen.
 *
 * To wait with it would keep everybody waiting.  So the tree's kevent1 is only
 * asked for what there is, and this one waits.
 *
 * A descriptor that another thread begins to close while it is being registered
 * may get a knote that the closer does not see, and waits for without end.  Each
 * is looked at again after it was registered.
 */

#include <sys/param.h>

#ifdef KQUEUE_UNLOCKED

#include <sys/event.h>
#include <sys/eventvar.h>
#include <sys/file.h>
#include <sys/filedesc.h>
#include <sys/mutex.h>
#include <sys/proc.h>
#include <sys/systm.h>
#include <sys/timevar.h>

#include "rump_private.h"

/* The tree's own definitions. */
int	kevent1_tree(register_t *, int, const struct kevent *, size_t,
	    struct kevent *, size_t, const struct timespec *,
	    const struct kevent_ops *);
void	knote_fdclose_tree(int);

static kmutex_t kqueue_lock;

/* What one call has registered and not looked at again. */
struct changes {
	const struct kevent_ops *ops;
	uintptr_t idents[KQ_NEVENTS];
	int count;
};

/* Detaches what was attached to descriptors that are being closed. */
static void
look_again(struct changes *changes)
{
	fdtab_t *table = curlwp->l_fd->fd_dt;
	fdfile_t *ff;
	uintptr_t fd;

	while (changes->count > 0) {
		fd = changes->idents[--changes->count];
		/* Some are no descriptors; if there is one all the same, it is closed. */
		if (fd < table->dt_nfiles && (ff = table->dt_ff[fd]) != NULL &&
		    (ff->ff_refcnt & FR_CLOSING) != 0 &&
		    !SLIST_EMPTY(&ff->ff_knlist))
			knote_fdclose_tree((int)fd);
	}
}

static int
fetch_changes(void *private, const struct kevent *from, struct kevent *to,
    size_t index, int count)
{
	struct changes *changes = private;
	int error, i;

	look_again(changes);
	error = (*changes->ops->keo_fetch_changes)(changes->ops->keo_private,
	    from, to, index, count);
	if (error != 0)
		return error;
	KASSERT(count <= KQ_NEVENTS);
	for (i = 0; i < count; i++)
		changes->idents[i] = to[i].ident;
	changes->count = count;
	return 0;
}

static int
put_events(void *private, struct kevent *from, struct kevent *to, size_t index,
    int count)
{
	struct changes *changes = private;

	return (*changes->ops->keo_put_events)(changes->ops->keo_private,
	    from, to, index, count);
}

/* The timeout is the kernel's own. */
static int
fetch_timeout(const void *from, void *to, size_t size)
{

	memcpy(to, from, size);
	return 0;
}

/* Waits for an event. */
static int
await(struct kqueue *kq, int ticks)
{
	int error = 0;

	mutex_spin_enter(&kq->kq_lock);
	if (kq->kq_count == 0)
		error = cv_timedwait_sig(&kq->kq_cv, &kq->kq_lock, ticks);
	mutex_spin_exit(&kq->kq_lock);
	return error == ERESTART ? EINTR : error;
}

static int
kevent_file(file_t *fp, register_t *retval, int fd, const struct kevent *list,
    size_t nchanges, struct kevent *events, size_t nevents,
    const struct timespec *user_timeout, const struct kevent_ops *ops)
{
	struct changes changes = { .ops = ops };
	const struct kevent_ops locked_ops = {
		.keo_private = &changes,
		.keo_fetch_timeout = fetch_timeout,
		.keo_fetch_changes = fetch_changes,
		.keo_put_events = put_events,
	};
	const struct timespec now = { 0, 0 };
	struct timespec left, start;
	int ticks = 0, error;

	if (fp->f_type != DTYPE_KQUEUE)
		return EBADF;
	if (user_timeout != NULL) {
		error = (*ops->keo_fetch_timeout)(user_timeout, &left,
		    sizeof(left));
		if (error != 0)
			return error;
		if (inittimeleft(&left, &start) == -1)
			return EINVAL;
	}
	for (;;) {
		mutex_enter(&kqueue_lock);
		error = kevent1_tree(retval, fd, list, nchanges, events,
		    nevents, &now, &locked_ops);
		look_again(&changes);
		mutex_exit(&kqueue_lock);
		if (error != 0 || *retval != 0 || nevents == 0)
			return error;
		if (user_timeout != NULL &&
		    (ticks = gettimeleft(&left, &start)) <= 0)
			return 0;
		nchanges = 0;
		error = await(fp->f_kqueue, ticks);
		if (error != 0)
			return error == EWOULDBLOCK ? 0 : error;
	}
}

int
kevent1(register_t *retval, int fd, const struct kevent *list, size_t nchanges,
    struct kevent *events, size_t nevents, const struct timespec *timeout,
    const struct kevent_ops *ops)
{
	file_t *fp;
	int error;

	if ((fp = fd_getfile(fd)) == NULL)
		return EBADF;
	error = kevent_file(fp, retval, fd, list, nchanges, events, nevents,
	    timeout, ops);
	fd_putfile(fd);
	return error;
}

void
knote_fdclose(int fd)
{

	mutex_enter(&kqueue_lock);
	knote_fdclose_tree(fd);
	mutex_exit(&kqueue_lock);
}

RUMP_COMPONENT(RUMP_COMPONENT_KERN)
{

	mutex_init(&kqueue_lock, MUTEX_DEFAULT, IPL_NONE);
}

#endif	/* KQUEUE_UNLOCKED */
