/*
 * EVFILT_USER for kernels whose kqueue has no such filter.
 *
 * NetBSD has it from 10 on.  Older kernels let filters be registered, and number
 * them from the end of their own; the numbers below that of NetBSD 10 are filled
 * up, so that programs find it where they know it to be.
 *
 * Such a kernel tells a filter of a change only if that has EV_ADD.  So changes
 * are looked at on their way in (kevent(2)), and those of this filter get EV_ADD
 * and a mark that says what they were.  An addition that nobody asked for is
 * refused where the knote would be attached.
 *
 * f_event is called for a change, whose flags and mark are in the knote then;
 * without a mark it is the scan that asks, about to hand the event out.  The
 * kernel lock, with which kqueue calls it, serialises the state here.  The scan
 * does not come between the change and its f_event: in NetBSD 8 the lock of the
 * descriptor table keeps it away, in 7 that of the component kqueue.
 */

#include <sys/param.h>
#include <sys/event.h>

#ifndef EVFILT_USER

#include <sys/kmem.h>
#include <sys/syscallargs.h>
#include <sys/systm.h>

#include "rump_private.h"

/* As in <sys/event.h> of NetBSD 10. */
#define	EVFILT_USER	8
#define	NOTE_TRIGGER	0x01000000U
#define	NOTE_FFAND	0x40000000U
#define	NOTE_FFOR	0x80000000U
#define	NOTE_FFCOPY	0xc0000000U
#define	NOTE_FFCTRLMASK	0xc0000000U
#define	NOTE_FFLAGSMASK	0x00ffffffU

/* Marks, in bits that have no meaning in a program's change. */
#define	MARK_ADD	0x02000000U	/* had EV_ADD */
#define	MARK_CHANGE	0x04000000U	/* is about a knote that there is */
#define	MARKS		(MARK_ADD | MARK_CHANGE)

/* What a knote's own fields do not keep through a change or a report. */
struct user_event {
	intptr_t udata;
	uint32_t fflags;
	bool triggered;
};

static int
user_attach(struct knote *kn)
{
	struct user_event *event;

	if ((kn->kn_sfflags & MARK_CHANGE) != 0)
		return ENOENT;
	event = kmem_zalloc(sizeof(*event), KM_SLEEP);
	kn->kn_hook = event;
	return 0;
}

static void
user_detach(struct knote *kn)
{

	kmem_free(kn->kn_hook, sizeof(struct user_event));
}

static void
user_change(struct knote *kn)
{
	struct user_event *event = kn->kn_hook;
	uint32_t fflags = kn->kn_sfflags;

	kn->kn_sfflags = 0;
	if ((fflags & MARK_ADD) != 0)
		event->udata = kn->kn_kevent.udata;
	else
		kn->kn_kevent.udata = event->udata;

	switch (fflags & NOTE_FFCTRLMASK) {
	case NOTE_FFAND:
		event->fflags &= fflags & NOTE_FFLAGSMASK;
		break;
	case NOTE_FFOR:
		event->fflags |= fflags & NOTE_FFLAGSMASK;
		break;
	case NOTE_FFCOPY:
		event->fflags = fflags & NOTE_FFLAGSMASK;
		break;
	}
	if ((fflags & NOTE_TRIGGER) != 0)
		event->triggered = true;
}

static int
user_event(struct knote *kn, long hint)
{
	struct user_event *event = kn->kn_hook;
	bool triggered;

	if ((kn->kn_sfflags & MARKS) != 0) {
		user_change(kn);
		return event->triggered;
	}
	triggered = event->triggered;
	kn->kn_fflags = event->fflags;
	kn->kn_data = kn->kn_sdata;
	if ((kn->kn_flags & (EV_CLEAR | EV_DISPATCH)) != 0)
		event->triggered = false;
	return triggered;
}

static const struct filterops user_filter = {
	.f_isfd = 0,
	.f_attach = user_attach,
	.f_detach = user_detach,
	.f_event = user_event,
};

static int
no_attach(struct knote *kn)
{

	return EOPNOTSUPP;
}

/* Keeps a number that has another meaning in later kernels. */
static const struct filterops no_filter = {
	.f_isfd = 0,
	.f_attach = no_attach,
};

static int
fetch_changes(void *private, const struct kevent *changes,
    struct kevent *fetched, size_t index, int count)
{
	struct kevent *change;
	int error;

	error = kevent_fetch_changes(private, changes, fetched, index, count);
	if (error != 0)
		return error;
	for (change = fetched; change < fetched + count; change++) {
		if (change->filter != EVFILT_USER)
			continue;
		change->fflags &= ~MARKS;
		if ((change->flags & EV_ADD) != 0)
			change->fflags |= MARK_ADD;
		else if ((change->flags & EV_DELETE) == 0) {
			change->flags |= EV_ADD;
			change->fflags |= MARK_CHANGE;
		}
	}
	return 0;
}

static int
put_events(void *private, struct kevent *events, struct kevent *room,
    size_t index, int count)
{
	struct kevent *event;

	/* The answer to a change is the change. */
	for (event = events; event < events + count; event++) {
		if (event->filter == EVFILT_USER)
			event->fflags &= ~MARKS;
	}
	return kevent_put_events(private, events, room, index, count);
}

static const struct kevent_ops user_ops = {
	.keo_fetch_timeout = copyin,
	.keo_fetch_changes = fetch_changes,
	.keo_put_events = put_events,
};

int
sys___kevent50(struct lwp *l, const struct sys___kevent50_args *uap,
    register_t *retval)
{

	return kevent1(retval, SCARG(uap, fd), SCARG(uap, changelist),
	    SCARG(uap, nchanges), SCARG(uap, eventlist), SCARG(uap, nevents),
	    SCARG(uap, timeout), &user_ops);
}

RUMP_COMPONENT(RUMP_COMPONENT_KERN)
{
	char name[sizeof("EVFILT_") + 10];
	int number, error;

	for (number = EVFILT_SYSCOUNT; number < EVFILT_USER; number++) {
		snprintf(name, sizeof(name), "EVFILT_%d", number);
		error = kfilter_register(name, &no_filter, NULL);
		if (error != 0)
			panic("%s: %d", name, error);
	}
	error = kfilter_register("EVFILT_USER", &user_filter, &number);
	if (error != 0 || number != EVFILT_USER)
		panic("EVFILT_USER: number %d, error %d", number, error);
}

#endif	/* !EVFILT_USER */
