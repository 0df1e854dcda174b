/*
 * Claims to ports: what a kernel and its host agree on.
 *
 * Whoever shares an address with other kernels asks before a port of it is taken, and
 * says when it is free again.  The kernel (NetBSD's with the component claims, and
 * rump-lite) exports rump_claims_set and rump_claims_list; the host hands in a table.
 *
 * A port is asked for where a program binds to it (bind(2) to a port that is not 0), over
 * TCP and UDP.  Ports that the kernel chooses are not: they are those of the range
 * net.inet.ip.anonportmin to anonportmax, and of net.inet6.ip6.
 *
 * Structures consist of integers of fixed width and are padded by hand.  The same
 * definitions stand in rump-hyper/src/claims.rs.
 */

#ifndef RUMP_CLAIMS_H_
#define	RUMP_CLAIMS_H_

/* Where a socket takes packets from. */
struct rump_claims_endpoint {
	uint8_t		address[16];	/* IPv4 mapped; unspecified: all of the family */
	uint16_t	port;		/* in the order of the machine; not 0 */
	uint8_t		protocol;	/* 6 TCP, 17 UDP */
	uint8_t		pad;
};

/* Whether a socket is bound there, or keeps the port otherwise. */
typedef int	(*rump_claims_used)(void *, const struct rump_claims_endpoint *);

/* What the kernel calls, on a thread that holds a virtual CPU. */
struct rump_claims_ops {
	/*
	 * A socket is about to be bound there.  May wait, if it gives up the virtual CPU.
	 * 0, or the error number, NetBSD's, with which bind(2) fails.
	 */
	int	(*claim)(const struct rump_claims_endpoint *);
	/*
	 * What was granted, once each: the socket is bound there, or could not be.  The
	 * function tells whether any is, and the pointer is its first argument.
	 */
	void	(*bound)(const struct rump_claims_endpoint *, rump_claims_used, void *);
	/*
	 * A socket is gone that had this port (protocol, port).  Others may have it still,
	 * as connections have that of the socket that accepted them.
	 */
	void	(*gone)(uint32_t, uint32_t, rump_claims_used, void *);
};
/* bound and gone must neither wait nor call the kernel. */

/*
 * Has the host asked from now on, or never again (NULL).  When this returns, no bind is
 * under way that was to be asked about and is not.  0, or ENOTSUP if this kernel cannot.
 * Called on a thread without a virtual CPU.
 */
int	rump_claims_set(const struct rump_claims_ops *);
/*
 * Tells of all that has a port now, in no order and some of it twice, and at last of NULL:
 * nothing changes until then.  The function is called as bound is.  Called on a thread
 * without a virtual CPU.
 */
void	rump_claims_list(void (*)(void *, const struct rump_claims_endpoint *), void *);

#endif /* RUMP_CLAIMS_H_ */
