/*
 * Waiting for something to receive: what a kernel and its host agree on.
 *
 * poll(2) could tell as well.  But a host that makes waiting interruptible has to poll
 * something else beside the socket, and most of what that costs is not the wait.  Here a
 * thread sleeps as one in recv(2) does, and the host has a bell to wake it.
 *
 * The same definitions stand in rump-abi/src/arrival.rs.
 */

#ifndef RUMP_ARRIVAL_H_
#define	RUMP_ARRIVAL_H_

/* A bell.  The host's memory, all zero at first. */
struct rump_bell {
	/* Not 0: who waits does so no longer.  Set and cleared by the host. */
	volatile uint32_t rung;
	uint32_t	pad;
	/* The kernel's; NULL when nobody waits. */
	void *volatile	at;
};

/*
 * Waits until a socket has so many bytes (or as many as its SO_RCVLOWAT, if that is fewer),
 * a connection, an error or an end, or the bell is rung: 0 in each case.  Else it is the
 * number of an error: EBADF, ENOTSOCK.  One thread at a time waits with a bell.
 * Called on a thread with an lwp and without a virtual CPU.
 */
int	rump_arrival(int, uint64_t, struct rump_bell *);

/*
 * Wakes who waits with a bell that was rung: to be called if `at' is not NULL after that.
 * Called on a thread without a virtual CPU.
 */
void	rump_arrival_ring(struct rump_bell *);

#endif /* RUMP_ARRIVAL_H_ */
