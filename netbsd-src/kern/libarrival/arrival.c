/*
 * Waiting for something to receive, with a bell of the host's: rump_arrival.h.
 *
 * Who rings finds the socket in the bell.  It is there as long as the lock of bells is held
 * while it is read, and the waiter takes it out under that lock before it lets the socket
 * go.  The bell is looked at with the socket locked, and rung before the socket is, so that
 * none is missed.  Order of locks: that of bells, that of a socket.
 */

#include <sys/param.h>
#include <sys/errno.h>
#include <sys/file.h>
#include <sys/filedesc.h>
#include <sys/mutex.h>
#include <sys/socket.h>
#include <sys/socketvar.h>
#include <sys/systm.h>

#include <rump-sys/kern.h>

#include "rump_private.h"
#include "rump_arrival.h"

CTASSERT(sizeof(struct rump_bell) == 16);
CTASSERT(offsetof(struct rump_bell, at) == 8);

static kmutex_t arrival_lock;

static void
arrival_at(struct rump_bell *bell, struct socket *so)
{

	mutex_enter(&arrival_lock);
	bell->at = so;
	mutex_exit(&arrival_lock);
}

/* Whether there is nothing to tell.  The socket is locked. */
static bool
arrival_waits(const struct socket *so, uint64_t room)
{
	const struct sockbuf *sb = &so->so_rcv;

	return sb->sb_cc < MIN(room, MAX((uint64_t)sb->sb_lowat, 1)) &&
	    (so->so_state & (SS_CANTRCVMORE | SS_RESTARTSYS)) == 0 &&
	    so->so_qlen == 0 && so->so_error == 0;
}

static int
arrival(int fd, uint64_t room, struct rump_bell *bell)
{
	struct socket *so;
	int error;

	error = fd_getsock(fd, &so);
	if (error != 0)
		return error;
	solock(so);
	if (arrival_waits(so, room)) {
		sounlock(so);
		arrival_at(bell, so);
		solock(so);
		while (bell->rung == 0 && arrival_waits(so, room) && error == 0)
			error = sbwait(&so->so_rcv);
		sounlock(so);
		arrival_at(bell, NULL);
	} else
		sounlock(so);
	fd_putfile(fd);
	/* A signal or an old timeout of the socket: the host looks again. */
	return error == EWOULDBLOCK || error == ERESTART || error == EINTR ?
	    0 : error;
}

int
rump_arrival(int fd, uint64_t room, struct rump_bell *bell)
{
	int error;

	rump_schedule();
	error = arrival(fd, MAX(room, 1), bell);
	rump_unschedule();
	return error;
}

void
rump_arrival_ring(struct rump_bell *bell)
{
	struct socket *so;

	rump_schedule();
	mutex_enter(&arrival_lock);
	so = bell->at;
	if (so != NULL) {
		solock(so);
		cv_broadcast(&so->so_rcv.sb_cv);
		sounlock(so);
	}
	mutex_exit(&arrival_lock);
	rump_unschedule();
}

RUMP_COMPONENT(RUMP_COMPONENT_KERN)
{

	mutex_init(&arrival_lock, MUTEX_DEFAULT, IPL_NONE);
}
